import type { Instant } from '../../src/base/clock.ts'
import type { BackupSetId } from '../../src/base/ids.ts'
import type { NewSet, SealedSet } from '../../src/series/series.ts'

/** The database that is backed up: files by path; a directory for each parent. */
export type Files = ReadonlyMap<string, Uint8Array>

/** A set as the model knows it: what it must restore to, where it is in its life, what it uses. */
export interface Made {
  readonly set: NewSet
  readonly files: Files
  readonly sealed: SealedSet
  readonly attempt: { readonly jobId: number; readonly number: number }
  state: 'writing' | 'kept' | 'deleted' | 'purged' | 'failed'
  finishedAt: Instant
  /** The turn of its deletion and the end of its undelete window, while it is deleted. */
  deletion: number
  purgeAfter: Instant
  held: boolean
  /** Chunks by pack and number with their stored bytes, as its real manifest and maps name them. */
  uses: ReadonlyMap<string, number>
}

export function idsOf(sets: readonly Made[]): BackupSetId[] {
  return sets.map(({ set }) => set.setId as BackupSetId)
}

/** Marks what `gone` use and sweeps what `staying` use: stored bytes that become garbage, manifests too. */
export function markAndSweep(gone: readonly Made[], staying: readonly Made[]): number {
  const garbage = new Map<string, number>()
  for (const { uses } of gone) for (const [chunk, bytes] of uses) garbage.set(chunk, bytes)
  for (const { uses } of staying) for (const chunk of uses.keys()) garbage.delete(chunk)
  let total = gone.reduce((sum, { sealed }) => sum + sealed.manifestBytes, 0)
  for (const bytes of garbage.values()) total += bytes
  return total
}

/** The sets of the next purge: of the first deletion that has some due, those that nothing pins. */
export function nextPurge(
  made: readonly Made[],
  pinned: (one: Made) => boolean,
  now: Instant,
): readonly Made[] {
  const due = made.filter((one) => one.state === 'deleted' && one.purgeAfter <= now && !pinned(one))
  const first = Math.min(...due.map(({ deletion }) => deletion))
  return due.filter(({ deletion }) => deletion === first)
}
