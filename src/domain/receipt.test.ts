import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant } from '../base/clock.ts'
import { deletionOf } from '../testing/receipt-parts.ts'
import { bodyOf, type Receipt, type ReceiptValue, readBody } from './receipt.ts'

const RECEIPT: Receipt = {
  ...deletionOf('pgm-a', {
    details: { backupIds: ['1'], note: 'a\u0000b\ud800', nested: { n: 1 } },
  }),
  number: 3,
  event: 17,
  recordedAt: instant(1_795_503_941_000),
}

test('says everything in one text, in one order, without blanks', () => {
  assert.equal(
    bodyOf(RECEIPT),
    '{"format":1,"instanceId":"pgm-a","number":3,"event":17,"kind":"delete",' +
      '"serviceTime":"2026-11-24T07:05:40.123Z","time":"2026-11-24T07:05:41.000Z",' +
      '"requestId":"0F0A8FCA-9D71-4A4B-9C7B-5D1F6E0C4C11","accessKeyId":"testAccessKeyId",' +
      '"user":"root","address":"127.0.0.1","details":{"backupIds":["1"],' +
      '"note":"a\\u0000b\\ud800","nested":{"n":1}}}',
  )
})

test('reads what it wrote, and nothing that is no receipt', () => {
  assert.deepEqual(readBody(bodyOf(RECEIPT)), RECEIPT)
  const body = JSON.parse(bodyOf(RECEIPT)) as Record<string, unknown>
  const spoilt: readonly Record<string, unknown>[] = [
    { format: 2 },
    { number: '3' },
    { serviceTime: 'yesterday' },
    { requestId: 4 },
    { details: [] },
  ]
  for (const change of spoilt) assert.equal(readBody(JSON.stringify({ ...body, ...change })), null)
  for (const text of ['', 'null', '7', '[]', bodyOf(RECEIPT).slice(1)]) {
    assert.equal(readBody(text), null)
  }
})

test('refuses details that JSON would turn into something else', () => {
  const wrong = [Number.NaN, Number.POSITIVE_INFINITY, undefined as unknown as ReceiptValue]
  for (const value of wrong) {
    const details = { list: [{ value }] }
    assert.throws(() => bodyOf({ ...RECEIPT, details }), /broken invariant/)
  }
  const details = { long: 'x'.repeat(2 ** 20) }
  assert.throws(() => bodyOf({ ...RECEIPT, details }), /a receipt is short/)
})
