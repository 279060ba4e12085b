import type { NewSet, PackFacts } from '../series/series.ts'
import type { ChunkRef } from './chunk-ref.ts'
import type { BatchRow } from './codec-batch.ts'
import type { ManifestPack } from './manifest.ts'
import type { PackKind } from './pack-format.ts'
import { PackWriter } from './pack-writer.ts'
import type { Stores } from './stores.ts'

export interface FinishedPack extends PackFacts, ManifestPack {}

interface Lane {
  open: {
    readonly writer: PackWriter
    readonly pack: ManifestPack['pack']
    nextChunk: number
  } | null
  /** The full pack that is being made durable while the next one fills. */
  finishing: Promise<unknown>
}

/**
 * The packs of one set: one open for each kind, announced before it is written, followed by the next
 * when it is full. Disposing discards those that are not finished.
 */
export class OpenPacks implements AsyncDisposable {
  readonly #stores: Stores
  readonly #set: NewSet
  readonly #signal: AbortSignal
  readonly #lanes: Readonly<Record<PackKind, Lane>> = {
    data: { open: null, finishing: Promise.resolve() },
    tree: { open: null, finishing: Promise.resolve() },
  }
  readonly #writers = new Set<PackWriter>()
  readonly #finished: FinishedPack[] = []

  constructor(stores: Stores, set: NewSet, signal: AbortSignal) {
    this.#stores = stores
    this.#set = set
    this.#signal = signal
  }

  async append(kind: PackKind, facts: BatchRow, stored: Uint8Array): Promise<ChunkRef> {
    const lane = this.#lanes[kind]
    lane.open ??= await this.#openPack(kind)
    const { writer, pack } = lane.open
    const chunk = lane.open.nextChunk
    lane.open.nextChunk += 1
    await writer.append({ ...facts, chunk }, stored)
    if (writer.full) await this.#finishPack(kind)
    return { pack, chunk, storedBytes: stored.length, hash: facts.hash.slice() }
  }

  /** Finishes all packs; they are durable when it resolves. In the order of their numbers. */
  async finish(): Promise<readonly FinishedPack[]> {
    for (const kind of ['data', 'tree'] as const) {
      await this.#finishPack(kind)
      await this.#lanes[kind].finishing
    }
    return this.#finished.toSorted((left, right) => left.pack - right.pack)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#writers].map((writer) => writer[Symbol.asyncDispose]()))
  }

  async #openPack(kind: PackKind): Promise<NonNullable<Lane['open']>> {
    const { series, number: born, setId } = this.#set
    const { ledger, repositoryId, chunkBytes } = this.#stores
    const pack = await ledger.announcePacks(this.#set, 1, this.#signal)
    const owner = { repositoryId, chunkBytes }
    const header = { ...owner, kind, series, born, setId, pack, generation: 0 }
    const writer = new PackWriter(this.#stores, this.#set, header, this.#signal)
    this.#writers.add(writer)
    return { writer, pack, nextChunk: 0 }
  }

  async #finishPack(kind: PackKind): Promise<void> {
    const lane = this.#lanes[kind]
    await lane.finishing
    if (!lane.open) return
    const { writer } = lane.open
    lane.open = null
    lane.finishing = writer.finish().then((facts) => {
      this.#writers.delete(writer)
      this.#finished.push({ ...facts, kind })
    })
    // Whoever finishes next awaits it; until then a failure must not count as unhandled.
    lane.finishing.catch(() => {})
  }
}
