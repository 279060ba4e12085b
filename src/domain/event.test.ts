import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS } from '../base/clock.ts'
import { overdueAfterMs, summarise } from './event.ts'

const PERIODS: readonly (readonly [period: readonly string[], days: number])[] = [
  [['Tuesday', 'Thursday', 'Saturday'], 4],
  [['Monday'], 8],
  [['Sunday'], 8],
  [['Saturday', 'Sunday'], 7],
  [['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'], 2],
  [['Sunday', 'Monday'], 7],
]

for (const [preferredPeriod, days] of PERIODS) {
  test(`calls a backup on ${preferredPeriod.join(', ')} overdue after ${days} days`, () => {
    assert.equal(overdueAfterMs({ preferredPeriod }), days * DAY_MS)
  })
}

test('says what is not known instead of leaving a hole in the sentence', () => {
  const sentence = summarise('backup-failed', 'pgm-a', {})
  assert.equal(sentence, 'A backup of pgm-a failed: unknown.')
})
