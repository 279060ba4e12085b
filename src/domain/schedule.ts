import { DAY_MS, HOUR_MS, type Instant, instant, SECOND_MS } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import type { BackupPolicy } from './instance.ts'

/** Names of weekdays as policies have them, in the order of the week. */
export const WEEK = [
  'Monday',
  'Tuesday',
  'Wednesday',
  'Thursday',
  'Friday',
  'Saturday',
  'Sunday',
] as const

type Times = Pick<BackupPolicy, 'preferredTime' | 'preferredPeriod'>

const WEEK_DAYS = 7
/** The last five minutes of the hour are left to those that began just before. */
const SPREAD_MS = HOUR_MS - 5 * 60 * SECOND_MS

/** 1970-01-01 was a Thursday. */
const EPOCH_WEEKDAY = WEEK.indexOf('Thursday')

/** The last instant at or before `at` at which the policy wants a backup. */
export function latestSlot(policy: Times, instanceId: InstanceId, at: Instant): Instant {
  return instant(Math.max(...slots(policy, instanceId, at).filter((slot) => slot <= at)))
}

/** The first instant after `at` at which the policy wants a backup. */
export function nextSlot(policy: Times, instanceId: InstanceId, at: Instant): Instant {
  return instant(Math.min(...slots(policy, instanceId, at).filter((slot) => slot > at)))
}

/** Those of the week before and the week after: a policy names at least one day of each. */
function slots(policy: Times, instanceId: InstanceId, at: Instant): readonly Instant[] {
  const today = Math.floor(at / DAY_MS)
  const withinDayMs = Number(policy.preferredTime.slice(0, 2)) * HOUR_MS + spreadOf(instanceId)
  const days = Array.from({ length: 2 * WEEK_DAYS + 1 }, (_, index) => today + index - WEEK_DAYS)
  return days
    .filter((day) => policy.preferredPeriod.includes(weekdayOf(day)))
    .map((day) => instant(day * DAY_MS + withinDayMs))
}

function weekdayOf(day: number): string {
  return WEEK[(((day + EPOCH_WEEKDAY) % WEEK_DAYS) + WEEK_DAYS) % WEEK_DAYS] ?? ''
}

/** Where in the hour an instance's backups begin: always the same, and another one for each (FNV-1a). */
function spreadOf(instanceId: InstanceId): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(instanceId)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  }
  return (hash % (SPREAD_MS / SECOND_MS)) * SECOND_MS
}

/** What is known of the automatic backups of an instance since a slot. */
export interface SinceSlot {
  /** How many were asked for. */
  readonly count: number
  /** Service time at which the last of them failed; null when it runs, waits, or succeeded. */
  readonly failedAt: Instant | null
}

/** What is stamped further in the future than clocks of several hosts differ is no evidence. */
export const CLOCK_TOLERANCE_MS = HOUR_MS

/** One that failed is tried again so long afterwards, and so often in all. */
const RETRY_MS = HOUR_MS
const TRIES_MAX = 3

/**
 * Whether an automatic backup is due now. However many slots have passed without one (the service was
 * down), one is taken: the latest slot's.
 */
export function isBackupDue({ count, failedAt }: SinceSlot, now: Instant): boolean {
  if (count === 0) return true
  return failedAt !== null && count < TRIES_MAX && now - failedAt >= RETRY_MS
}
