import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { originReader } from './client-address.ts'

const TRUSTED = [
  { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
  { address: '127.0.0.1', prefix: 32, family: 'ipv4' },
  { address: 'fd00::', prefix: 8, family: 'ipv6' },
] as const

function originOf(
  peer: string,
  headers: readonly string[],
  trusted: typeof TRUSTED | [] = TRUSTED,
) {
  const socket = new Socket()
  Object.defineProperty(socket, 'remoteAddress', { value: peer })
  return originReader(trusted)(socket, headers)
}

const FOR = 'X-Forwarded-For'

for (const [what, peer, headers, expected] of [
  ['nothing said', '10.0.0.1', [], '10.0.0.1'],
  ['one proxy', '10.0.0.1', [FOR, '203.0.113.7'], '203.0.113.7'],
  ['what the client itself said before', '10.0.0.1', [FOR, '1.1.1.1, 203.0.113.7'], '203.0.113.7'],
  ['two proxies', '127.0.0.1', [FOR, '1.1.1.1, 203.0.113.7, 10.9.9.9'], '203.0.113.7'],
  ['two lines', '127.0.0.1', [FOR, '203.0.113.7', 'x-forwarded-for', '10.9.9.9'], '203.0.113.7'],
  ['only proxies', '10.0.0.1', [FOR, '10.0.0.3, 10.0.0.2'], '10.0.0.3'],
  ['a stranger', '203.0.113.9', [FOR, '1.1.1.1'], '203.0.113.9'],
  ['no address', '10.0.0.1', [FOR, '1.1.1.1, <script>'], '10.0.0.1'],
  ['unknown', '10.0.0.1', [FOR, 'unknown'], '10.0.0.1'],
  ['a port', '10.0.0.1', [FOR, '203.0.113.7:4711'], '203.0.113.7'],
  ['brackets and a port', '10.0.0.1', [FOR, '[2001:db8::1]:4711'], '2001:db8::1'],
  ['a proxy over IPv6', 'fd00::5', [FOR, '2001:db8::1'], '2001:db8::1'],
  ['IPv4 written as IPv6', '::ffff:10.0.0.1', [FOR, '::FFFF:203.0.113.7'], '203.0.113.7'],
  ['empty members', '10.0.0.1', [FOR, ', 203.0.113.7, ,'], '203.0.113.7'],
] as const) {
  test(`tells the client behind ${peer}: ${what}`, () => {
    assert.equal(originOf(peer, headers).address, expected)
  })
}

test('believes no header as long as no proxy is trusted', () => {
  const headers = [FOR, '1.1.1.1', 'x-forwarded-proto', 'https']
  assert.deepEqual(originOf('127.0.0.1', headers, []), { address: '127.0.0.1', scheme: 'http' })
})

test('takes the scheme from the nearest trusted proxy, and only one of the two there are', () => {
  const scheme = (peer: string, said: string) => originOf(peer, ['X-Forwarded-Proto', said]).scheme
  assert.equal(scheme('10.0.0.1', 'http, HTTPS'), 'https')
  assert.equal(scheme('10.0.0.1', 'javascript'), 'http')
  assert.equal(scheme('203.0.113.9', 'https'), 'http')
})
