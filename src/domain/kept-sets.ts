import type { Instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'

/** A kept set, and the instant that it restores to by itself (database time). */
export interface RestorePoint {
  readonly id: BackupSetId
  readonly at: Instant
}

/**
 * What the rules need to know of all kept sets of an instance together: its edges, never the list. It
 * is read by index, whatever number of sets there is.
 */
export interface KeptSets {
  readonly count: number
  /** The newest good set; null when none is kept. */
  readonly newestId: BackupSetId | null
  /**
   * With log backup on: the newest set that finished before the log window begins, from which alone
   * the window's first part can be restored. Null without log backup, or when there is none.
   */
  readonly anchorId: BackupSetId | null
  /** Service time of the end of the last backup that succeeded, also when its set is gone since. */
  readonly lastSuccessAt: Instant | null
  /** By the instant they restore to: the first ones, at least one more than a request names. */
  readonly earliest: readonly RestorePoint[]
  /** The same from the other end. */
  readonly latest: readonly RestorePoint[]
}

/** The first and the last instant that can be restored to; null when none can. */
export interface RecoveryTime {
  readonly begin: Instant
  readonly end: Instant
}

const NONE: ReadonlySet<BackupSetId> = new Set()

/** The available recovery time once `going` are gone. */
export function recoveryTime(
  { earliest, latest }: KeptSets,
  going: ReadonlySet<BackupSetId> = NONE,
): RecoveryTime | null {
  const begin = earliest.find(({ id }) => !going.has(id))
  const end = latest.find(({ id }) => !going.has(id))
  return begin && end ? { begin: begin.at, end: end.at } : null
}

/** Whether less can be restored to than before. */
export function isShorter(after: RecoveryTime | null, before: RecoveryTime | null): boolean {
  if (before === null) return false
  return after === null || after.begin > before.begin || after.end < before.end
}
