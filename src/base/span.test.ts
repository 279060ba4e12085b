import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS } from './clock.ts'
import { formatSpan, parseSpan } from './span.ts'

const FORMATTED = [
  [0, '0 s'],
  [999, '0 s'],
  [59_999, '59 s'],
  [DAY_MS - 1, '23 h 59 min 59 s'],
  [7 * DAY_MS - 60_000, '6 d 23 h 59 min'],
  [7 * DAY_MS, '7 d'],
  [-3_600_000, '-1 h'],
] as const

for (const [ms, text] of FORMATTED) {
  test(`writes ${ms} ms as ${text}`, () => assert.equal(formatSpan(ms), text))
}

test('reads spans of days, hours, minutes and seconds, and nothing else', () => {
  assert.equal(parseSpan('8d'), 8 * DAY_MS)
  assert.equal(parseSpan('1d12h'), 1.5 * DAY_MS)
  assert.equal(parseSpan('90s'), 90_000)
  for (const wrong of ['', '8', 'd', '-8d', '8 d', '1.5d', '8w', '9999999999999999d']) {
    assert.equal(parseSpan(wrong), null)
  }
})
