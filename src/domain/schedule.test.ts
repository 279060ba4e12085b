import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS, HOUR_MS, instant, MINUTE_MS, parseIso } from '../base/clock.ts'
import { type InstanceId, newInstanceId } from '../base/ids.ts'
import { isBackupDue, latestSlot, nextSlot } from './schedule.ts'

const POLICY = { preferredTime: '02:00Z-03:00Z', preferredPeriod: ['Tuesday', 'Saturday'] }
const INSTANCE = 'pgm-a' as InstanceId

const time = (text: string) => parseIso(text) ?? assert.fail(text)

/** The same place in the hour for every slot of the instance. */
const MINUTE = nextSlot(POLICY, INSTANCE, time('2026-11-24T00:00Z')) - time('2026-11-24T02:00Z')

test('S1: slots are on the days and in the hour that the policy names', () => {
  assert.ok(MINUTE >= 0 && MINUTE < 55 * MINUTE_MS)
  // 2026-11-24 was a Tuesday.
  const slots = [time('2026-11-24T02:00Z'), time('2026-11-28T02:00Z'), time('2026-12-01T02:00Z')]
  let at = time('2026-11-23T12:00Z')
  for (const slot of slots) {
    at = nextSlot(POLICY, INSTANCE, at)
    assert.equal(at, slot + MINUTE)
    assert.equal(latestSlot(POLICY, INSTANCE, at), at)
    assert.notEqual(latestSlot(POLICY, INSTANCE, instant(at - 1)), at)
  }
})

test('S1: the last hour of the day, and every day of the week', () => {
  const policy = {
    preferredTime: '23:00Z-24:00Z',
    preferredPeriod: ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'],
  }
  const first = nextSlot(policy, INSTANCE, time('2028-02-28T23:59Z'))
  assert.equal(new Date(first).toISOString().slice(0, 13), '2028-02-29T23')
  assert.equal(nextSlot(policy, INSTANCE, first) - first, DAY_MS)
})

test('S1: instances are spread over the hour, each always at the same place', () => {
  const at = time('2026-11-24T00:00Z')
  const ids = Array.from({ length: 600 }, newInstanceId)
  const minutes = ids.map((id) => (nextSlot(POLICY, id, at) % HOUR_MS) / MINUTE_MS)
  for (let from = 0; from < 55; from += 11) {
    const share = minutes.filter((minute) => minute >= from && minute < from + 11).length / 600
    assert.ok(share > 0.12 && share < 0.28, `${share} of all in minutes ${from} to ${from + 11}`)
  }
})

test('S2, S3: a slot wants one backup, whatever number of slots passed; a failed one is tried again', () => {
  const now = time('2026-11-24T05:00Z')
  assert.equal(isBackupDue({ count: 0, failedAt: null }, now), true)
  assert.equal(isBackupDue({ count: 1, failedAt: null }, now), false)
  assert.equal(isBackupDue({ count: 1, failedAt: instant(now - HOUR_MS + 1) }, now), false)
  assert.equal(isBackupDue({ count: 1, failedAt: instant(now - HOUR_MS) }, now), true)
  assert.equal(isBackupDue({ count: 3, failedAt: instant(now - 9 * HOUR_MS) }, now), false)
})
