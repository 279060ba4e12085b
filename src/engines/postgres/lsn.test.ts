import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault } from '../../base/fault.ts'
import { formatLsn, historyName, parseLsn, segmentName, segmentNames } from './lsn.ts'

const MEBIBYTE = 1024 * 1024

describe('a position in the log', () => {
  for (const text of ['0/0', '0/1', '16/B374D848', 'FFFFFFFF/FFFFFFFF']) {
    it(`survives reading and writing: ${text}`, () => {
      assert.equal(formatLsn(parseLsn(text)), text)
    })
  }

  for (const text of ['', '1', '1/', 'x/y', '1/123456789']) {
    it(`is not read from ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseLsn(text),
        (error) => isFault(error, 'unfit'),
      )
    })
  }

  const names: [number, string, number, string][] = [
    [1, '0/1000028', 16, '000000010000000000000001'],
    [2, '1/0', 16, '000000020000000100000000'],
    [10, 'A/FF000000', 16, '0000000A0000000A000000FF'],
    [1, '0/FFFFFFFF', 64, '00000001000000000000003F'],
    [1, '2/C0000000', 1024, '000000010000000200000003'],
  ]
  for (const [timeline, lsn, mebibytes, name] of names) {
    it(`lies in segment ${name} when segments have ${mebibytes} MiB`, () => {
      assert.equal(segmentName(timeline, parseLsn(lsn), mebibytes * MEBIBYTE), name)
    })
  }

  it('ends a range before a segment of which no byte is needed', () => {
    const range = segmentNames(1, parseLsn('0/FF000028'), parseLsn('1/1000000'), 16 * MEBIBYTE)
    assert.deepEqual([...range], ['0000000100000000000000FF', '000000010000000100000000'])
  })

  it('names a history file by its timeline', () => {
    assert.equal(historyName(26), '0000001A.history')
  })
})
