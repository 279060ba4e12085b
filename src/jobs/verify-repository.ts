import type { ReadableSet } from '../catalogue/backup-sets.ts'
import { setsWithBytes } from '../catalogue/backup-sets.ts'
import type { Catalogue } from '../catalogue/database.ts'
import type { ObjectRecord, PackRecord } from '../catalogue/usage.ts'
import { countWrongSums, listObjects, listPacks } from '../catalogue/usage.ts'
import type { Repository } from '../repository/repository.ts'
import { hasBit, setBit } from '../series/bitmap.ts'

/** What the storage holds, as its listing tells. */
export interface StoredObject {
  readonly name: string
  readonly sizeBytes: number
}

interface Needs {
  readonly catalogue: Catalogue
  readonly repository: Repository
  readonly listStorage: () => AsyncIterable<StoredObject>
  readonly listUnfinished: () => AsyncIterable<StoredObject>
}

export interface Verification {
  readonly sets: number
  readonly objects: number
  /** Σ sizes by the catalogue and by the storage, unfinished writes included. */
  readonly catalogueBytes: number
  readonly storageBytes: number
  /** For people; none when everything agrees. */
  readonly problems: readonly string[]
}

interface PackUse {
  which: Uint8Array
  bytes: number
}

/**
 * The auditor: compares the catalogue with the storage object by object, and what it counts as alive
 * with a mark and sweep over the maps of all sets. It changes nothing. With a service at work on the
 * repository it can meet a change half way; what it then reports does not last.
 */
export async function verifyRepository(needs: Needs, signal: AbortSignal): Promise<Verification> {
  const stored = new Map<string, number>()
  for await (const { name, sizeBytes } of needs.listStorage()) stored.set(name, sizeBytes)
  const unfinished: StoredObject[] = []
  for await (const draft of needs.listUnfinished()) unfinished.push(draft)
  const { objects, packs, sets, wrongSums } = await needs.catalogue.transaction(async (tx) => ({
    objects: await listObjects(tx),
    packs: await listPacks(tx),
    sets: await setsWithBytes(tx),
    wrongSums: await countWrongSums(tx),
  }))
  const problems = [...compareObjects(objects, stored), ...judgeUnfinished(objects, unfinished)]
  if (wrongSums > 0) problems.push(`${wrongSums} sums of retirements are wrong`)
  problems.push(...comparePacks(packs, await markUsed(sets, needs.repository, signal)))
  return {
    sets: sets.length,
    objects: stored.size,
    catalogueBytes: objects.reduce((total, object) => total + object.bytes, 0),
    storageBytes:
      [...stored.values()].reduce((total, bytes) => total + bytes, 0) +
      unfinished.reduce((total, draft) => total + draft.sizeBytes, 0),
    problems,
  }
}

function compareObjects(
  objects: readonly ObjectRecord[],
  stored: ReadonlyMap<string, number>,
): string[] {
  const problems: string[] = []
  const known = new Set(objects.map((object) => object.name))
  for (const name of stored.keys()) {
    if (!known.has(name)) problems.push(`object ${name} is in the storage, not in the catalogue`)
  }
  for (const { name, bytes, state } of objects) {
    const size = stored.get(name)
    // Objects that are only intended, or about to go, may be there or not.
    if (state !== 'there') continue
    if (size === undefined) problems.push(`object ${name} is missing from the storage`)
    else if (size !== bytes) problems.push(`object ${name} has ${size} bytes instead of ${bytes}`)
  }
  return problems
}

/** A write on record as intended, or given up, is someone's work; another one nobody will clean. */
function judgeUnfinished(
  objects: readonly ObjectRecord[],
  unfinished: readonly StoredObject[],
): string[] {
  const states = new Map(objects.map((object) => [object.name, object.state]))
  return unfinished
    .filter(({ name }) => (states.get(name) ?? 'there') === 'there')
    .map(({ name, sizeBytes }) => `an unfinished write of ${name} is left, ${sizeBytes} bytes`)
}

async function markUsed(
  sets: readonly ReadableSet[],
  repository: Repository,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PackUse>> {
  const used = new Map<string, PackUse>()
  for (const set of sets) {
    for await (const { pack, chunk, bytes } of repository.audit(set, signal)) {
      const key = `${set.series}/${pack}`
      const use = used.get(key) ?? { which: new Uint8Array(), bytes: 0 }
      if (!hasBit(use.which, chunk)) {
        use.which = setBit(use.which, chunk)
        use.bytes += bytes
      }
      used.set(key, use)
    }
  }
  return used
}

function comparePacks(
  packs: readonly PackRecord[],
  used: ReadonlyMap<string, PackUse>,
): readonly string[] {
  const problems: string[] = []
  const known = new Set<string>()
  for (const pack of packs) {
    const key = `${pack.series}/${pack.pack}`
    known.add(key)
    const use = used.get(key)
    if ((use?.bytes ?? 0) !== pack.liveBytes) {
      problems.push(
        `pack ${key}: ${use?.bytes ?? 0} bytes are used, ${pack.liveBytes} count as live`,
      )
    }
    for (let chunk = 0; use && chunk < pack.chunks; chunk += 1) {
      if (hasBit(use.which, chunk) && hasBit(pack.dead, chunk)) {
        problems.push(`pack ${key}: chunk ${chunk} is used and counts as dead`)
      }
    }
    if (pack.diskBytes < pack.targetBytes) problems.push(`pack ${key} is below its target`)
  }
  for (const key of used.keys()) {
    if (!known.has(key)) problems.push(`pack ${key} is used and not in the catalogue`)
  }
  return problems
}
