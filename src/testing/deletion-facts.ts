import { DAY_MS, type Instant, instant } from '../base/clock.ts'
import type { BackupSetId, HoldId, InstanceId } from '../base/ids.ts'
import type { Subject } from '../domain/deletion-rules.ts'
import type { BackupPolicy, BackupSetFacts, HoldFacts, Instance } from '../domain/instance.ts'
import type { KeptSets, RestorePoint } from '../domain/kept-sets.ts'

/** Values of every fact that the rules of deletion look at, edges first of all. */

export const NOW = 1_800_000_000_000 as Instant
/** The set that is judged; the kept sets beside it are 1–9, and 9 is the newest. */
export const JUDGED = 5 as BackupSetId

/** Running, a primary with a standby; nothing about it refuses anything. */
export const INSTANCE: Instance = {
  id: 'pgm-test' as InstanceId,
  engine: 'PostgreSQL',
  engineVersion: '18',
  category: 'HighAvailability',
  type: 'Primary',
  status: 'Running',
  lockMode: 'Unlock',
  description: '',
  origin: 'local',
  masterId: null,
  systemIdentifier: null,
  timeline: null,
  deletionProtection: false,
  createdAt: NOW,
  releasedAt: null,
}

/** Log backup and every protection off. */
export const POLICY: BackupPolicy = {
  dataRetentionDays: 30,
  log: { enabled: false, retentionDays: 7 },
  preferredTime: '02:00Z-03:00Z',
  preferredPeriod: ['Monday', 'Friday'],
  releasedKeepPolicy: null,
  maxRateKib: null,
  restoreWindowProtection: false,
  minimumBackupSets: null,
  allowManualDelete: false,
}

export type InstanceFacts = Pick<Instance, 'type' | 'status' | 'lockMode' | 'engine' | 'category'>

/** All 360 of them, and one that does not exist. */
export const INSTANCES: readonly (InstanceFacts | null)[] = [
  null,
  ...product({
    type: ['Primary', 'Readonly', 'Guard'],
    status: ['Running', 'Creating', 'Stopped', 'Deleting', 'Released'],
    lockMode: ['Unlock', 'ManualLock', 'LockByDiskQuota'],
    engine: ['PostgreSQL', 'MySQL', 'SQLServer', 'postgresql'],
    category: ['HighAvailability', 'Basic'],
  } as const),
]

export const RUNNING: InstanceFacts = INSTANCE
export const RELEASED: InstanceFacts = { ...INSTANCE, status: 'Released', category: 'Basic' }

/** Log backup, log retention and data retention in days: shorter, equal, and longer, which is a bug. */
export const RETENTIONS = [
  ...([7, 30] as const).map((data) => ({ logs: false, log: 7, data })),
  { logs: false, log: 30, data: 30 },
  { logs: false, log: 7, data: 730 },
  { logs: true, log: 7, data: 7 },
  { logs: true, log: 7, data: 30 },
  { logs: true, log: 29, data: 30 },
  { logs: true, log: 30, data: 30 },
  { logs: true, log: 31, data: 30 },
  { logs: true, log: 729, data: 730 },
  { logs: true, log: 730, data: 730 },
] as const

export type Retentions = (typeof RETENTIONS)[number]

/** Ages in ms: each limit that could matter and a millisecond around it, fresh, future, ancient. */
export function agesAround({ log, data }: Retentions): readonly number[] {
  const limits = [...new Set([7, log, data])].map((days) => days * DAY_MS)
  const edges = limits.flatMap((limit) => [limit - 1, limit, limit + 1])
  return [...edges, 0, -1, -10 * DAY_MS, 5000 * DAY_MS]
}

/** Instants at which holds of a set end, in ms from now: before, at and after other limits. */
export const HOLDS: readonly (readonly (number | null)[])[] = [
  [],
  [null],
  [0],
  [1],
  [-1],
  [3 * DAY_MS],
  [900 * DAY_MS],
  [1, null],
  [-1, 0],
  [2, 40 * DAY_MS],
]

/** Where the judged set stands among the instants that can be restored to. */
export const PLACES = ['first', 'first-of-two', 'middle', 'last-of-two', 'last', 'only'] as const

export interface Facts {
  readonly instance: InstanceFacts | null
  readonly allowManualDelete: boolean
  readonly retentions: Retentions
  readonly ageMs: number
  readonly state: BackupSetFacts['state'] | null
  readonly holds: readonly (number | null)[]
  readonly restoring: boolean
  /** From now, in ms, when it was undeleted; null: never. */
  readonly retainedFromMs: number | null
  /** From now, in ms, when the instance was released, if it was. */
  readonly releasedMs: number
  readonly newest: boolean
  /** Has no meaning while log backup is off. */
  readonly anchor: boolean
  /** Since the last success, in days and ms; null: there was none. */
  readonly successAgeMs: number | null
  /** Kept sets; null: the rules get to know nothing of them. */
  readonly count: number | null
  readonly minimum: number | null
  readonly windowProtection: boolean
  readonly place: (typeof PLACES)[number]
}

/** Nothing stands in the way of what is asked by hand, nor of expiry. */
export const FREE: Facts = {
  instance: RUNNING,
  allowManualDelete: false,
  retentions: { logs: true, log: 7, data: 30 },
  ageMs: 30 * DAY_MS + 1,
  state: 'kept',
  holds: [],
  restoring: false,
  retainedFromMs: null,
  releasedMs: -60 * DAY_MS,
  newest: false,
  anchor: false,
  successAgeMs: 0,
  count: 9,
  minimum: null,
  windowProtection: false,
  place: 'middle',
}

export function subjectOf(facts: Facts): Subject {
  const { instance, state, retentions } = facts
  const released = instance?.status === 'Released' ? from(facts.releasedMs) : null
  return {
    instance: instance && { ...INSTANCE, ...instance, releasedAt: released },
    policy: instance && {
      ...POLICY,
      dataRetentionDays: retentions.data,
      log: { enabled: retentions.logs, retentionDays: retentions.log },
      minimumBackupSets: facts.minimum,
      restoreWindowProtection: facts.windowProtection,
      allowManualDelete: facts.allowManualDelete,
    },
    id: String(JUDGED),
    set: state && setOf(facts, state),
    kept: keptOf(facts),
    now: NOW,
  }
}

function setOf(facts: Facts, state: BackupSetFacts['state']): BackupSetFacts {
  return {
    id: JUDGED,
    state,
    finishedAt: state === 'writing' ? null : from(-facts.ageMs),
    retainedFrom: facts.retainedFromMs === null ? null : from(facts.retainedFromMs),
    restoring: facts.restoring,
    holds: facts.holds.map(holdUntil),
  }
}

function holdUntil(ms: number | null, index: number): HoldFacts {
  return { id: index as HoldId, reason: 'audit', until: ms === null ? null : from(ms) }
}

function keptOf({ count, place, ...facts }: Facts): KeptSets | null {
  if (count === null) return null
  const points = POINTS[place].map(([id, at]): RestorePoint => ({ id, at }))
  return {
    count,
    newestId: facts.newest ? JUDGED : (9 as BackupSetId),
    anchorId: facts.anchor && facts.retentions.logs ? JUDGED : null,
    lastSuccessAt: facts.successAgeMs === null ? null : from(-facts.successAgeMs),
    earliest: points,
    latest: [...points].reverse(),
  }
}

function from(ms: number): Instant {
  return instant(NOW + ms)
}

type Point = readonly [id: BackupSetId, at: Instant]

/** Instants by which the judged set is the first, shares being the first, and so on. */
const POINTS: Readonly<Record<Facts['place'], readonly Point[]>> = {
  first: pointsAt([JUDGED, 10], [6, 20]),
  'first-of-two': pointsAt([JUDGED, 10], [2, 10], [6, 20]),
  middle: pointsAt([1, 10], [JUDGED, 15], [6, 20]),
  'last-of-two': pointsAt([1, 10], [6, 20], [JUDGED, 20]),
  last: pointsAt([1, 10], [JUDGED, 20]),
  only: pointsAt([JUDGED, 10]),
}

function pointsAt(...points: readonly (readonly [id: number, at: number])[]): readonly Point[] {
  return points.map(([id, at]): Point => [id as BackupSetId, instant(at)])
}

/** Every combination of one value of each. */
export function product<T extends object>(
  values: {
    readonly [K in keyof T]: readonly T[K][]
  },
): readonly T[] {
  let rows: readonly Partial<T>[] = [{}]
  for (const [key, options] of Object.entries<readonly unknown[]>(values)) {
    rows = rows.flatMap((row) => options.map((option) => ({ ...row, [key]: option })))
  }
  return rows as readonly T[]
}
