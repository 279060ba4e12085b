import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault } from '../../base/fault.ts'
import { MessageReader, readFields, readRow } from './message-reader.ts'

function message(type: string, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body)
  const header = Buffer.alloc(5)
  header.write(type, 0)
  header.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([header, bytes])
}

/** What a reader makes of the bytes when they arrive cut at `step`, pieces joined again. */
function readInSteps(bytes: Buffer, step: number): string[] {
  const reader = new MessageReader()
  const found: string[] = []
  let copy = ''
  for (let at = 0; at < bytes.length; at += step) {
    for (const read of reader.read(bytes.subarray(at, at + step))) {
      if (read.kind === 'other') {
        found.push(`${read.type}:${read.body}`)
        continue
      }
      copy = read.first ? `${read.piece}` : `${copy}${read.piece}`
      if (read.last) found.push(`copy:${copy}`)
    }
  }
  return found
}

describe('the stream of messages', () => {
  const bytes = Buffer.concat([
    message('H', 'abc'),
    message('d', 'some data'),
    message('d', ''),
    message('d', 'x'),
    message('c', ''),
    message('Z', 'I'),
  ])
  for (const step of [1, 2, 3, 5, 7, 1000]) {
    it(`is read the same in chunks of ${step} bytes`, () => {
      const expected = ['H:abc', 'copy:some data', 'copy:', 'copy:x', 'c:', 'Z:I']
      assert.deepEqual(readInSteps(bytes, step), expected)
    })
  }

  it('tells an empty message as soon as its header is there', () => {
    assert.deepEqual(readInSteps(message('c', ''), 1000), ['c:'])
  })

  it('is given up when a length cannot be one', () => {
    const reader = new MessageReader()
    const nonsense = Buffer.from('HTTP/1.1 400 Bad Request')
    assert.throws(
      () => [...reader.read(nonsense)],
      (error) => isFault(error, 'transient'),
    )
  })

  it('keeps null and empty columns apart, and the fields of a complaint', () => {
    const row = Buffer.from('\0\x03\0\0\0\x02hi\xff\xff\xff\xff\0\0\0\0', 'latin1')
    assert.deepEqual(readRow(row), ['hi', null, ''])
    const fields = readFields(Buffer.from('SERROR\0C57P03\0Mstarting\0\0'))
    assert.equal(fields.get('C'), '57P03')
    assert.equal(fields.get('M'), 'starting')
  })
})
