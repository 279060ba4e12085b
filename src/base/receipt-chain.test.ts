import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReceiptChain, genesisOf, HEADS_GENESIS } from './receipt-chain.ts'
import { Secret } from './secret.ts'

const key = new Secret(Uint8Array.from({ length: 32 }, (_, index) => index))

test('links as the format says: the values are another program’s', () => {
  const genesis = genesisOf('pgm-a')
  assert.equal(genesis, 'e1d230bb8f288ad6a51274bff5eedb7f869473163c49019536d5fa5b62445aa4')
  const hash = createReceiptChain(key).link(genesis, '{"body":"é"}')
  assert.equal(hash, '08f312c97bbaf7470a35bb89022661310c26888b9ed052fa803b4ddb8007d567')
  assert.equal(HEADS_GENESIS, '5138a68fd0869d5c807a731a2acd0cdfc1a5840af22f1d98a74884ab496ec049')
})

test('gives another hash for another body, predecessor, instance or key', () => {
  const chain = createReceiptChain(key)
  const other = createReceiptChain(new Secret(new Uint8Array(32)))
  const hashes = [
    chain.link(genesisOf('pgm-a'), 'x'),
    chain.link(genesisOf('pgm-a'), 'y'),
    chain.link(genesisOf('pgm-b'), 'x'),
    chain.link(chain.link(genesisOf('pgm-a'), 'x'), 'x'),
    other.link(genesisOf('pgm-a'), 'x'),
  ]
  assert.equal(new Set(hashes).size, hashes.length)
})
