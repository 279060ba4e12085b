import { DAY_MS } from '../base/clock.ts'
import type { Subject } from '../domain/deletion-rules.ts'
import type { BackupPolicy, BackupSetFacts, Instance } from '../domain/instance.ts'
import type { KeptSets } from '../domain/kept-sets.ts'
import type { Cause, Rule } from '../domain/verdict.ts'

/**
 * The rules of deletion once more, written from docs/spec/deletion.md and not from the table in
 * `domain/`: one story for each cause, told from top to bottom. Where the two differ, one is wrong.
 */

/** One thing in the way: the rule, and the instant at which it goes by itself, or else what ends it. */
export interface Obstacle {
  readonly rule: Rule
  readonly ends: number | 'policy' | 'state' | 'hold' | 'nothing'
}

/** What should come out: the rule that refuses, null when none does, and what would change that. */
export interface Expected {
  readonly refusal: Rule | null
  readonly changes: Obstacle['ends'] | null
}

/** `gone`: IDs of the kept sets that would go together with this one, itself among them. */
export function expectVerdict(subject: Subject, cause: Cause, gone: readonly number[]): Expected {
  return conclude(obstaclesOf(subject, cause, gone))
}

/** The verdict on one set that is asked for alone. */
export function expectAlone(subject: Subject, cause: Cause): Expected {
  return expectVerdict(subject, cause, itself(subject))
}

export interface ExpectedBatch {
  readonly verdicts: readonly Expected[]
  /** `index` of the subject that is told; null when the rule is about all together. */
  readonly refusal: { readonly rule: Rule; readonly index: number | null } | null
}

/** All together: what would be left is what those leave that have nothing of their own in the way. */
export function expectBatch(subjects: readonly Subject[], cause: Cause): ExpectedBatch {
  const leaving = subjects
    .filter((subject) => obstaclesOf(subject, cause, []).every(({ rule }) => isOfAll(rule)))
    .flatMap(itself)
  const verdicts = subjects.map((subject) => {
    const gone = [...new Set([...leaving, ...itself(subject)])]
    return expectVerdict(subject, cause, gone)
  })
  for (const rule of TOLD_FIRST) {
    const index = verdicts.findIndex(({ refusal }) => refusal === rule)
    if (index >= 0) return { verdicts, refusal: { rule, index: isOfAll(rule) ? null : index } }
  }
  return { verdicts, refusal: null }
}

/** Indexes of those that go when as many go as may, the first ones first. For expiry and removal. */
export function expectChoice(subjects: readonly Subject[], cause: Cause): readonly number[] {
  const free = subjects.flatMap((subject, index) =>
    obstaclesOf(subject, cause, []).every(({ rule }) => isOfAll(rule)) ? [index] : [],
  )
  const first = subjects[0]
  const bound = cause === 'expiry' && first?.instance?.status !== 'Released'
  const minimum = bound ? (first?.policy?.minimumBackupSets ?? 0) : 0
  return free.slice(0, Math.max(0, (first?.kept?.count ?? 0) - minimum))
}

/** 404 before 403, the instance before the set, the set before what would be left. */
const TOLD_FIRST: readonly Rule[] = [
  ...(['instance-known', 'instance-writable', 'instance-unlocked'] as const),
  ...(['instance-running', 'engine-supported', 'category-supported', 'set-known'] as const),
  ...(['set-finished', 'set-not-held', 'set-not-restoring'] as const),
  ...(['log-retention-shorter', 'set-old-enough'] as const),
  ...(['retention-over', 'backups-succeed', 'newest-good-set', 'log-window-anchor'] as const),
  ...(['minimum-sets', 'restore-window'] as const),
]

function isOfAll(rule: Rule): boolean {
  return rule === 'minimum-sets' || rule === 'restore-window'
}

function itself({ set }: Subject): readonly number[] {
  return set?.state === 'kept' ? [set.id] : []
}

function conclude(obstacles: readonly Obstacle[]): Expected {
  const [first] = obstacles
  if (!first) return { refusal: null, changes: null }
  const ends = obstacles.map((obstacle) => obstacle.ends)
  if (ends.includes('nothing')) return { refusal: first.rule, changes: 'nothing' }
  const someone = ends.find((end) => typeof end === 'string')
  const instants = ends.filter((end) => typeof end === 'number')
  return { refusal: first.rule, changes: someone ?? Math.max(...instants) }
}

function obstaclesOf(subject: Subject, cause: Cause, gone: readonly number[]): Obstacle[] {
  const { instance, policy, set, now } = subject
  if (!instance || !policy) return [{ rule: 'instance-known', ends: 'nothing' }]
  const found: Obstacle[] = cause === 'by-hand' ? onInstance(instance, policy) : []
  if (!set || set.state === 'writing' || set.state === 'deleted') {
    return [...found, { rule: 'set-known', ends: 'nothing' }]
  }
  // A failed run is no set: no cause deletes it, it leaves the list by itself.
  if (set.state === 'failed') found.push({ rule: 'set-finished', ends: 'nothing' })
  found.push(...onHolds(set, now))
  if (set.restoring) found.push({ rule: 'set-not-restoring', ends: 'state' })
  if (cause === 'by-hand') found.push(...onAge(set, instance, policy, now))
  if (cause === 'expiry') found.push(...onExpiry(subject, set, instance, policy))
  // What protects the sets of an instance as a whole ends with the instance.
  if (instance.status === 'Released') return found
  if (cause !== 'instance-removal') found.push(...onMinimum(subject.kept, policy, gone))
  if (cause === 'by-hand') found.push(...onWindow(subject.kept, policy, gone))
  return found
}

function onInstance(instance: Instance, policy: BackupPolicy): Obstacle[] {
  const found: Obstacle[] = []
  const released = instance.status === 'Released'
  if (instance.type === 'Readonly') found.push({ rule: 'instance-writable', ends: 'nothing' })
  if (instance.lockMode !== 'Unlock') found.push({ rule: 'instance-unlocked', ends: 'state' })
  if (!released && instance.status !== 'Running') {
    found.push({ rule: 'instance-running', ends: 'state' })
  }
  if (instance.engine !== 'PostgreSQL' && instance.engine !== 'MySQL') {
    found.push({ rule: 'engine-supported', ends: 'nothing' })
  }
  if (!released && instance.category === 'Basic' && !policy.allowManualDelete) {
    found.push({ rule: 'category-supported', ends: 'policy' })
  }
  return found
}

function onHolds(set: BackupSetFacts, now: number): Obstacle[] {
  const lasting = set.holds.filter(({ until }) => until === null || until > now)
  if (lasting.length === 0) return []
  const ends = lasting.map(({ until }) => until ?? Number.POSITIVE_INFINITY)
  const last = Math.max(...ends)
  return [{ rule: 'set-not-held', ends: Number.isFinite(last) ? last : 'hold' }]
}

function onAge(
  set: BackupSetFacts,
  instance: Instance,
  { log, dataRetentionDays }: BackupPolicy,
  now: number,
): Obstacle[] {
  const found: Obstacle[] = []
  if (log.enabled && log.retentionDays >= dataRetentionDays) {
    // Of a released instance nobody can change the policy any more.
    const ends = instance.status === 'Released' ? 'nothing' : 'policy'
    found.push({ rule: 'log-retention-shorter', ends })
  }
  const days = log.enabled ? log.retentionDays : 7
  const first = (set.finishedAt ?? 0) + days * DAY_MS + 1
  if (now < first) found.push({ rule: 'set-old-enough', ends: first })
  return found
}

function onExpiry(
  { kept, now }: Subject,
  set: BackupSetFacts,
  instance: Instance,
  policy: BackupPolicy,
): Obstacle[] {
  const found: Obstacle[] = []
  const released = instance.status === 'Released'
  const starts = [set.finishedAt ?? 0, set.retainedFrom ?? 0]
  if (released) starts.push(instance.releasedAt ?? 0)
  const first = Math.max(...starts) + policy.dataRetentionDays * DAY_MS + 1
  if (now < first) found.push({ rule: 'retention-over', ends: first })
  if (released) return found
  const success = kept?.lastSuccessAt ?? null
  const isOld = success !== null && now - success > (longestGap(policy) + 1) * DAY_MS
  const isToCome = success !== null && success > now + 3_600_000
  if (success === null || isOld || isToCome) {
    found.push({ rule: 'backups-succeed', ends: 'state' })
  }
  if (kept?.newestId === set.id) found.push({ rule: 'newest-good-set', ends: 'state' })
  if (kept?.anchorId === set.id) found.push({ rule: 'log-window-anchor', ends: 'state' })
  return found
}

/** Days from one preferred day to the next, the longest such stretch in a week. */
function longestGap({ preferredPeriod }: BackupPolicy): number {
  const week = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']
  let [gap, longest] = [0, 0]
  for (const day of [...week, ...week]) {
    gap += 1
    longest = Math.max(longest, gap)
    if (preferredPeriod.includes(day)) gap = 0
  }
  return longest
}

function onMinimum(
  kept: KeptSets | null,
  { minimumBackupSets: minimum }: BackupPolicy,
  gone: readonly number[],
): Obstacle[] {
  if (minimum === null || (kept?.count ?? 0) - gone.length >= minimum) return []
  return [{ rule: 'minimum-sets', ends: 'policy' }]
}

/** Less can be restored to: not as early, not as late, or not the beginning of the log window. */
function onWindow(
  kept: KeptSets | null,
  policy: BackupPolicy,
  gone: readonly number[],
): Obstacle[] {
  if (!policy.restoreWindowProtection || !kept) return []
  const points = [...kept.earliest, ...kept.latest]
  const before = points.map(({ at }) => Number(at))
  const after = points.filter(({ id }) => !gone.includes(id)).map(({ at }) => Number(at))
  const lost =
    Math.min(...after) > Math.min(...before) ||
    Math.max(...after) < Math.max(...before) ||
    gone.some((id) => id === kept.anchorId)
  return lost ? [{ rule: 'restore-window', ends: 'policy' }] : []
}
