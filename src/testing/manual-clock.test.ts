import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS, instant } from '../base/clock.ts'
import { ManualClock } from './manual-clock.ts'

test('stands still until it is moved, by exactly what is asked', () => {
  const clock = new ManualClock(instant(1000))
  assert.equal(clock.now(), 1000)
  clock.advance(7 * DAY_MS)
  assert.equal(clock.now(), 1000 + 7 * DAY_MS)
})

test('refuses to go back', () => {
  const clock = new ManualClock(instant(1000))
  assert.throws(() => clock.advance(-1), /does not go back/)
  assert.equal(clock.now(), 1000)
})
