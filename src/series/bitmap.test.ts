import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  countBits,
  fullBitmap,
  hasBit,
  orBitmap,
  overlaps,
  setBit,
  withoutBitmap,
} from './bitmap.ts'

test('holds exactly the numbers that were set, however far apart', () => {
  let bits: Uint8Array = new Uint8Array()
  for (const index of [0, 7, 8, 1000]) bits = setBit(bits, index)
  const found = Array.from({ length: 1100 }, (_, index) => index).filter((i) => hasBit(bits, i))
  assert.deepEqual(found, [0, 7, 8, 1000])
  assert.equal(countBits(bits), 4)
})

test('a full bitmap holds no number beyond its count', () => {
  for (const count of [0, 1, 7, 8, 9, 64]) {
    assert.equal(countBits(fullBitmap(count)), count)
    assert.equal(hasBit(fullBitmap(count), count), false)
  }
})

test('union, difference and overlap work on bitmaps of different lengths', () => {
  const long = setBit(setBit(new Uint8Array(), 3), 40)
  const short = setBit(new Uint8Array(), 3)
  assert.deepEqual(countBits(orBitmap(short, long)), 2)
  assert.equal(hasBit(withoutBitmap(long, short), 3), false)
  assert.equal(hasBit(withoutBitmap(long, short), 40), true)
  assert.equal(overlaps(short, long), true)
  assert.equal(overlaps(withoutBitmap(long, short), short), false)
})
