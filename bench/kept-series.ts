import type { TreeEntry } from '../src/base/file-tree.ts'
import { fullBitmap, orBitmap, withoutBitmap } from '../src/series/bitmap.ts'
import type { RetirementState, SeriesView } from '../src/series/ending.ts'
import { afterEnding, planEnding } from '../src/series/ending.ts'
import { packObjectName } from '../src/series/object-names.ts'
import type { PackNumber, SealedSet, SetNumber } from '../src/series/series.ts'
import type { TestRepository } from '../src/testing/open-test-repository.ts'
import { newSet, TEST_SERIES, writeTestSet } from '../src/testing/open-test-repository.ts'

/** What ending sets released and what the disk got back, in bytes. */
export interface Reclaimed {
  readonly releasedBytes: number
  readonly freedBytes: number
  readonly packsRemoved: number
  readonly packsRewritten: number
}

/**
 * The series of one repository without a catalogue: the same rules decide what ends, and the same
 * repository carries it out, but the rows are in memory.
 */
export class KeptSeries {
  readonly #opened: TestRepository
  readonly #sets: SealedSet[] = []
  #view: SeriesView = { kept: [], packs: new Map(), retirements: [] }
  readonly #retiredChunks = new Map<string, Uint8Array>()
  readonly #deadChunks = new Map<PackNumber, Uint8Array>()

  constructor(opened: TestRepository) {
    this.#opened = opened
  }

  /** Stores the next set against the newest one. */
  async store(
    entries: Iterable<TreeEntry> | AsyncIterable<TreeEntry>,
    signal: AbortSignal,
  ): Promise<SealedSet> {
    const base = this.#sets.at(-1)?.stored ?? null
    const set = newSet((base?.number ?? 0) + 1, base)
    const sealed = await writeTestSet(this.#opened, set, entries, signal)
    this.#sets.push(sealed)
    const packs = new Map(this.#view.packs)
    for (const { pack, chunkBytes, objectBytes } of sealed.packs) {
      packs.set(pack, { pack, born: set.number, liveBytes: chunkBytes, targetBytes: objectBytes })
    }
    const retirements = sealed.retirements.map(({ pack, which, bytes }): RetirementState => {
      const row = { pack, born: packs.get(pack)?.born ?? set.number, retired: set.number, bytes }
      this.#retiredChunks.set(keyOf(row), which)
      return row
    })
    this.#view = {
      kept: [...this.#view.kept, set.number],
      packs,
      retirements: [...this.#view.retirements, ...retirements],
    }
    return sealed
  }

  set(number: number): SealedSet {
    const found = this.#sets.find(({ stored }) => stored.number === number)
    if (!found) throw new Error(`there is no set ${number}`)
    return found
  }

  /** Ends the sets together and gives their bytes back; fails unless exactly the promised ones. */
  async end(numbers: readonly number[], signal: AbortSignal): Promise<Reclaimed> {
    const { repository, storage } = this.#opened
    const ended = numbers.map((number) => this.set(number))
    const before = await this.#objectBytes(signal)
    const ending = planEnding(this.#view, numbers as readonly SetNumber[])
    this.#noteChunks(ending)
    const manifests = ended.map(({ stored }) => stored.manifest)
    await repository.removeObjects(manifests, signal)
    let packsRewritten = 0
    for (const { pack, after } of ending.targets) {
      if (after === 0) await this.#removePack(pack, signal)
      else {
        await this.#rewritePack(pack, after, signal)
        packsRewritten += 1
      }
    }
    this.#view = afterEnding(this.#view, ending)
    const manifestBytes = ended.reduce((total, { manifestBytes: bytes }) => total + bytes, 0)
    const freedBytes = ending.freedBytes + manifestBytes
    const gone = before - (await this.#objectBytes(signal))
    if (gone !== freedBytes) throw new Error(`${gone} bytes came back instead of ${freedBytes}`)
    const packsRemoved = ending.targets.length - packsRewritten
    for await (const { name } of storage.listUnfinished(signal)) throw new Error(`${name} is left`)
    return { releasedBytes: ending.releasedBytes, freedBytes, packsRemoved, packsRewritten }
  }

  #noteChunks({ dying, moved }: ReturnType<typeof planEnding>): void {
    for (const row of dying) {
      const dead = this.#deadChunks.get(row.pack) ?? new Uint8Array()
      this.#deadChunks.set(row.pack, orBitmap(dead, this.#chunksOf(row)))
    }
    for (const { from, to } of moved) {
      const row = { ...from, retired: to }
      const joined = this.#retiredChunks.get(keyOf(row)) ?? new Uint8Array()
      this.#retiredChunks.set(keyOf(row), orBitmap(joined, this.#chunksOf(from)))
    }
  }

  #chunksOf(row: RetirementState): Uint8Array {
    return this.#retiredChunks.get(keyOf(row)) ?? new Uint8Array()
  }

  async #removePack(pack: PackNumber, signal: AbortSignal): Promise<void> {
    const { ledger, repository } = this.#opened
    const location = await ledger.locate(TEST_SERIES, pack, signal)
    await repository.removeObjects(location ? [location.object] : [], signal)
    ledger.move(TEST_SERIES, pack, null)
  }

  async #rewritePack(pack: PackNumber, objectBytes: number, signal: AbortSignal): Promise<void> {
    const { ledger, repository } = this.#opened
    const from = await ledger.locate(TEST_SERIES, pack, signal)
    const facts = this.#sets.flatMap(({ packs }) => packs).find((found) => found.pack === pack)
    if (!from || !facts) throw new Error(`pack ${pack} is not known`)
    const generation = from.generation + 1
    const object = packObjectName(TEST_SERIES, from.born, pack, generation)
    const to = { object, born: from.born, generation, objectBytes }
    const dead = this.#deadChunks.get(pack) ?? new Uint8Array()
    const keep = withoutBitmap(fullBitmap(facts.chunkCount), dead)
    await repository.rewritePack({ series: TEST_SERIES, pack, from, to, keep }, signal)
    ledger.move(TEST_SERIES, pack, to)
    await repository.removeObjects([from.object], signal)
  }

  async #objectBytes(signal: AbortSignal): Promise<number> {
    let total = 0
    for await (const { sizeBytes } of this.#opened.storage.list('series/', signal)) {
      total += sizeBytes
    }
    return total
  }
}

function keyOf({ pack, retired }: Pick<RetirementState, 'pack' | 'retired'>): string {
  return `${pack}/${retired}`
}
