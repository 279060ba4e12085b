import { createSecretKey } from 'node:crypto'
import { Fault } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { PackNumber } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import { eachBounded } from './bounded-work.ts'
import type { ChunkAtPlace } from './chunk-ref.ts'
import { decodeChunk } from './codec.ts'
import type { ChunkCodec, CodecBatch } from './codec-batch.ts'
import { addStored, BATCH_CHUNKS_MAX, batchBytes, emptyBatch, readRow } from './codec-batch.ts'
import type { CodecPool } from './codec-pool.ts'
import type { OpenPack, PackShelf } from './pack-shelf.ts'
import { coalesce } from './read-plan.ts'

/** Reads chunks wherever they are and checks each by its hash. Results are in the order asked for. */
export interface ChunkLoader {
  /** For pieces of maps and lists: small, and wanted before anything else can go on. */
  loadTree(
    series: SeriesId,
    wanted: readonly ChunkAtPlace[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>
  /** For contents: decoded in the codec's threads. */
  loadData(
    series: SeriesId,
    wanted: readonly ChunkAtPlace[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>
}

interface StoredChunk {
  /** Its place in what was asked for. */
  readonly order: number
  readonly wanted: ChunkAtPlace
  readonly object: string
  readonly stored: Uint8Array
  readonly codec: ChunkCodec
}

/** Packs read from at once: enough to keep a disk busy without holding much. */
const PACKS_AT_ONCE = 4

export function createChunkLoader(
  storage: Storage,
  shelf: PackShelf,
  codec: CodecPool,
  hashKey: Uint8Array,
): ChunkLoader {
  const key = createSecretKey(hashKey)

  async function fetch(
    series: SeriesId,
    wanted: readonly ChunkAtPlace[],
    signal: AbortSignal,
  ): Promise<readonly StoredChunk[]> {
    const ordered = wanted.map((chunk, order) => ({ chunk, order }))
    const byPack = Map.groupBy(ordered, ({ chunk }) => chunk.ref.pack)
    const fetched = new Map<PackNumber, readonly StoredChunk[]>()
    await eachBounded(byPack, PACKS_AT_ONCE, async ([pack, members]) => {
      const read = (open: OpenPack) => readFrom(storage, open, members, signal)
      fetched.set(pack, await shelf.withPack(series, pack, signal, read))
    })
    return [...byPack.keys()].flatMap((pack) => fetched.get(pack) ?? [])
  }

  return {
    async loadTree(series, wanted, signal) {
      const results: Uint8Array[] = new Array(wanted.length)
      for (const chunk of await fetch(series, wanted, signal)) {
        const { ref, rawBytes } = chunk.wanted
        const facts = { codec: chunk.codec, rawBytes, hash: ref.hash }
        const raw = decodeChunk(chunk.stored, facts, key)
        if (!raw) throw damaged(chunk)
        // A copy: what was read with it must not be kept alive by a small piece.
        results[chunk.order] = new Uint8Array(raw)
      }
      return results
    },
    async loadData(series, wanted, signal) {
      const results: Uint8Array[] = new Array(wanted.length)
      const batches = intoBatches(await fetch(series, wanted, signal))
      await Promise.all(
        batches.map(async ({ batch, members }) => {
          const decoded = await codec.decode(batch, hashKey, signal)
          for (const [index, member] of members.entries()) {
            const row = readRow(decoded, index)
            if (row.flagged) throw damaged(member)
            results[member.order] = batchBytes(decoded, row.offset, row.rawBytes)
          }
        }),
      )
      return results
    },
  }
}

async function readFrom(
  storage: Storage,
  { object, index }: OpenPack,
  members: readonly { readonly chunk: ChunkAtPlace; readonly order: number }[],
  signal: AbortSignal,
): Promise<readonly StoredChunk[]> {
  const located = members.map(({ chunk, order }) => {
    const { ref, rawBytes } = chunk
    const position = index.position(ref.chunk)
    if (position === null) {
      throw new Fault('corrupt', `chunk ${ref.chunk} is missing from pack ${object}`)
    }
    const row = index.row(position)
    if (row.storedBytes !== ref.storedBytes || row.rawBytes !== rawBytes) {
      throw new Fault('corrupt', `chunk ${ref.chunk} of pack ${object} has another length`)
    }
    return {
      chunk,
      order,
      codec: row.codec,
      offset: index.offset(position),
      length: row.storedBytes,
    }
  })
  const chunks: StoredChunk[] = []
  for (const { offset, length, parts } of coalesce(located)) {
    const bytes = await storage.readRange(object, offset, length, signal)
    for (const part of parts) {
      const stored = bytes.subarray(part.offset - offset, part.offset - offset + part.length)
      chunks.push({ order: part.order, wanted: part.chunk, object, stored, codec: part.codec })
    }
  }
  return chunks
}

function intoBatches(
  chunks: readonly StoredChunk[],
): readonly { readonly batch: CodecBatch; readonly members: readonly StoredChunk[] }[] {
  return cutAt(chunks, BATCH_CHUNKS_MAX).map((members) => {
    const batch = emptyBatch(members.reduce((total, { stored }) => total + stored.length, 0))
    for (const { stored, codec, wanted } of members) {
      addStored(batch, stored, { rawBytes: wanted.rawBytes, codec, hash: wanted.ref.hash })
    }
    return { batch, members }
  })
}

function cutAt<Item>(items: readonly Item[], count: number): readonly (readonly Item[])[] {
  const cuts = Math.ceil(items.length / count)
  return Array.from({ length: cuts }, (_, cut) => items.slice(cut * count, (cut + 1) * count))
}

function damaged({ object, wanted }: StoredChunk): Fault {
  return new Fault('corrupt', `chunk ${wanted.ref.chunk} of pack ${object} is damaged`)
}
