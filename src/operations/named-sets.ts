import type { Instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { parseBackupSetId } from '../base/ids.ts'
import type { Transaction } from '../catalogue/database.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { keptSetsOf } from '../catalogue/kept-sets.ts'
import { type NamedSet, namedSets } from '../catalogue/members.ts'
import type { Subject } from '../domain/deletion-rules.ts'

/** The vendor's limit on one call. */
export const SETS_PER_CALL_MAX = 100

/** What follows the vendor's sentence when a request breaks D16. */
export function tooManySets(count: number): string {
  return `Rule D16: ${count} different sets are named`
}

/**
 * What the rules look at for each ID as it was written, and the sets among them as members of their
 * series. The edges of the time that can be restored to are read where a rule asks for them, or with
 * `andTime`.
 */
export async function subjectsNamed(
  tx: Transaction,
  found: InstanceWithPolicy,
  ids: readonly string[],
  now: Instant,
  andTime = false,
): Promise<{ readonly subjects: readonly Subject[]; readonly members: readonly NamedSet[] }> {
  const members = await namedSets(tx, found.instance.id, knownNumbers(ids), now)
  const sets = new Map(members.map((set) => [set.id, set]))
  const edges = andTime || found.policy.restoreWindowProtection
  const kept = await keptSetsOf(tx, found, edges ? ids.length : null, now)
  const subjects = ids.map((id) => {
    const number = parseBackupSetId(id)
    const set = number === null ? null : (sets.get(number) ?? null)
    return { ...found, id, set, kept, now }
  })
  return { subjects, members }
}

/** IDs that could be ours; others are unknown sets by their text alone (`007` is not `7`). */
function knownNumbers(ids: readonly string[]): readonly BackupSetId[] {
  return ids.map(parseBackupSetId).filter((id) => id !== null)
}
