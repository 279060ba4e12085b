import { describeError, isFault } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { ObjectRecord, PackRecord } from '../catalogue/audit.ts'
import { countWrongSums, listObjects, listPacks, wrongKeptCounts } from '../catalogue/audit.ts'
import type { ReadableSet } from '../catalogue/backup-sets.ts'
import { setsWithBytes } from '../catalogue/backup-sets.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { locatePack } from '../catalogue/ledger.ts'
import { pinSet } from '../catalogue/pins.ts'
import { usageOfAll } from '../catalogue/usage.ts'
import type { Repository } from '../repository/repository.ts'
import { hasBit, setBit } from '../series/bitmap.ts'
import { holdPins } from './pins.ts'

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
  /**
   * Σ sizes by the catalogue and by the storage. What is being written, or about to be removed, is
   * in neither.
   */
  readonly catalogueBytes: number
  readonly storageBytes: number
  /** For people; none when everything agrees. */
  readonly problems: readonly string[]
}

interface PackUse {
  which: Uint8Array
  bytes: number
}

/** A pack that is rewritten while it is read is looked up again, but not for ever. */
const LOCATE_TRIES_MAX = 3

/**
 * The auditor: compares the catalogue with the storage object by object, and what it counts as alive
 * with a mark and sweep over the maps of all sets; with `reading`, every stored byte is read and
 * checked. It changes nothing but pins all sets meanwhile, so purges wait for it.
 */
export async function verifyRepository(
  needs: Needs,
  reading: boolean,
  signal: AbortSignal,
): Promise<Verification> {
  const { catalogue, repository } = needs
  const held = await holdPins(catalogue, async (tx, holder) => {
    const sets = await setsWithBytes(tx)
    for (const set of sets) await pinSet(tx, set, 'verify', holder)
    return { sets, objects: await listObjects(tx), packs: await listPacks(tx) }
  })
  await using pins = held.pins
  const either = AbortSignal.any([signal, pins.lost])
  const { sets, packs, objects } = held.value
  const stored = await listed(needs.listStorage())
  const unfinished = await listed(needs.listUnfinished())
  const later = await catalogue.transaction(async (tx) => ({
    objects: await listObjects(tx),
    wrongSums: await checkSums(tx),
  }))
  const known = new Known(objects, later.objects)
  const problems = [
    ...compareObjects(known, stored),
    ...judgeUnfinished(known, unfinished),
    ...later.wrongSums,
  ]
  const { used, damaged, findings } = await markUsed(sets, repository, either)
  problems.push(...findings)
  // What a damaged set uses is not known, so its series cannot be judged.
  const judged = packs.filter((pack) => !damaged.has(pack.series))
  problems.push(...comparePacks(judged, used))
  if (reading) problems.push(...(await readPacks(packs, needs, either)))
  const counted = stored.filter(({ name }) => known.lasts(name) || !known.has(name))
  return {
    sets: sets.length,
    objects: stored.length,
    catalogueBytes: sum(known.lasting().map((object) => object.bytes)),
    storageBytes: sum(
      [...counted, ...unfinished.filter(({ name }) => !known.isWork(name))].map(sizeOf),
    ),
    problems,
  }
}

/** What decisions and figures go by, against what it sums up. */
async function checkSums(tx: Transaction): Promise<readonly string[]> {
  const wrongSums = await countWrongSums(tx)
  const problems = wrongSums > 0 ? [`${wrongSums} sums of retirements are wrong`] : []
  for (const instanceId of await wrongKeptCounts(tx)) {
    problems.push(`the count of kept sets of ${instanceId} is wrong`)
  }
  for (const usage of await usageOfAll(tx)) {
    const { storedBytes, keptBytes, undeleteBytes, deadBytes } = usage
    const { fixedBytes, pendingFreedBytes } = usage
    const parts = keptBytes + undeleteBytes + deadBytes + fixedBytes + pendingFreedBytes
    if (parts !== storedBytes) {
      problems.push(
        `${usage.instanceId} has ${storedBytes} bytes stored, and ${parts} in its packs and manifests`,
      )
    }
  }
  return problems
}

/** What the catalogue knows before and after the storage was listed. */
class Known {
  readonly #states = new Map<string, Set<ObjectRecord['state'] | 'absent'>>()
  readonly #later: ReadonlyMap<string, ObjectRecord>

  constructor(before: readonly ObjectRecord[], later: readonly ObjectRecord[]) {
    this.#later = new Map(later.map((object) => [object.name, object]))
    const earlier = new Map(before.map((object) => [object.name, object]))
    for (const name of new Set([...earlier.keys(), ...this.#later.keys()])) {
      const states = [earlier, this.#later].map((objects) => objects.get(name)?.state ?? 'absent')
      this.#states.set(name, new Set(states))
    }
  }

  has(name: string): boolean {
    return this.#states.has(name)
  }

  /** There before and after: it must be in the storage, whole. */
  lasts(name: string): boolean {
    const states = this.#states.get(name)
    return states?.size === 1 && states.has('there')
  }

  /** Someone is at it: being written, given up, or on its way out. */
  isWork(name: string): boolean {
    return this.has(name) && !this.lasts(name)
  }

  lasting(): readonly ObjectRecord[] {
    return [...this.#later.values()].filter(({ name }) => this.lasts(name))
  }
}

function compareObjects(known: Known, stored: readonly StoredObject[]): string[] {
  const sizes = new Map(stored.map(({ name, sizeBytes }) => [name, sizeBytes]))
  const strays = stored
    .filter(({ name }) => !known.has(name))
    .map(({ name }) => `object ${name} is in the storage, not in the catalogue`)
  const wrong: string[] = []
  for (const { name, bytes } of known.lasting()) {
    const size = sizes.get(name)
    if (size === undefined) wrong.push(`object ${name} is missing from the storage`)
    else if (size !== bytes) wrong.push(`object ${name} has ${size} bytes instead of ${bytes}`)
  }
  return [...strays, ...wrong]
}

/** A write on record as intended, or given up, is someone's work; another one nobody will clean. */
function judgeUnfinished(known: Known, unfinished: readonly StoredObject[]): string[] {
  return unfinished
    .filter(({ name }) => !known.isWork(name))
    .map(({ name, sizeBytes }) => `an unfinished write of ${name} is left, ${sizeBytes} bytes`)
}

async function markUsed(sets: readonly ReadableSet[], repository: Repository, signal: AbortSignal) {
  const used = new Map<string, PackUse>()
  const damaged = new Set<SeriesId>()
  const findings: string[] = []
  for (const set of sets) {
    try {
      for await (const { pack, chunk, bytes } of repository.audit(set, signal)) {
        const key = `${set.series}/${pack}`
        const use = used.get(key) ?? { which: new Uint8Array(), bytes: 0 }
        used.set(key, use)
        if (hasBit(use.which, chunk)) continue
        use.which = setBit(use.which, chunk)
        use.bytes += bytes
      }
    } catch (error) {
      if (!isFault(error, 'corrupt', 'not-found')) throw error
      damaged.add(set.series)
      findings.push(`backup set ${set.setId} is damaged: ${describeError(error)}`)
    }
  }
  return { used, damaged, findings }
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
  const series = new Set(packs.map((pack) => pack.series))
  for (const key of used.keys()) {
    const mine = series.has(Number(key.split('/')[0]) as SeriesId)
    if (mine && !known.has(key)) problems.push(`pack ${key} is used and not in the catalogue`)
  }
  return problems
}

async function readPacks(
  packs: readonly PackRecord[],
  { catalogue, repository }: Needs,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const problems: string[] = []
  for (const { series, pack } of packs) {
    const problem = await readPack(
      (tx) => locatePack(tx, series, pack),
      (location) => repository.checkPack(series, pack, location, signal),
      catalogue,
    )
    if (problem !== null) problems.push(problem)
  }
  return problems
}

/** Null when the pack is whole, or gone because a purge had been decided before. */
async function readPack(
  locate: (tx: Transaction) => ReturnType<typeof locatePack>,
  check: (location: NonNullable<Awaited<ReturnType<typeof locatePack>>>) => Promise<void>,
  catalogue: Catalogue,
): Promise<string | null> {
  for (let tries = 1; ; tries += 1) {
    const location = await catalogue.transaction(locate)
    if (!location) return null
    try {
      await check(location)
      return null
    } catch (error) {
      if (!isFault(error, 'corrupt', 'not-found')) throw error
      if (isFault(error, 'corrupt') || tries === LOCATE_TRIES_MAX) return describeError(error)
    }
  }
}

async function listed(objects: AsyncIterable<StoredObject>): Promise<readonly StoredObject[]> {
  const found: StoredObject[] = []
  for await (const object of objects) found.push(object)
  return found
}

function sizeOf({ sizeBytes }: StoredObject): number {
  return sizeBytes
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
