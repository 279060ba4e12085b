import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { fieldReader, fieldWriter } from './byte-fields.ts'

const NUMBERS = [0, 1, 127, 128, 255, 16_383, 16_384, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]

test('fields come back as they were written', () => {
  const writer = fieldWriter()
  for (const number of NUMBERS) writer.number(number)
  writer.text('päth \u{1f418}')
  writer.bytes(Buffer.from([0, 255]))
  writer.plain(Buffer.from('end'))
  const reader = fieldReader(writer.finish(), 'a test')
  for (const number of NUMBERS) assert.equal(reader.number(), number)
  assert.equal(reader.text(), 'päth \u{1f418}')
  assert.deepEqual(reader.bytes(), Buffer.from([0, 255]))
  assert.equal(reader.ended, false)
  assert.equal(reader.plain(3).toString(), 'end')
  assert.equal(reader.ended, true)
})

test('bytes that hold no field are called damaged, by name', () => {
  const tooLong = Buffer.alloc(12, 0xff)
  for (const read of [
    () => fieldReader(Buffer.alloc(0), 'a list').number(),
    () => fieldReader(Buffer.from([0x80]), 'a list').number(),
    () => fieldReader(tooLong, 'a list').number(),
    () => fieldReader(Buffer.from([5, 1]), 'a list').bytes(),
  ]) {
    assert.throws(read, (error) => isFault(error, 'corrupt') && error.message.startsWith('a list'))
  }
})
