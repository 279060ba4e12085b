import type { ChunkAtPlace, ChunkRef } from './chunk-ref.ts'
import { chunkCost } from './chunk-ref.ts'
import type { CodecBatch } from './codec-batch.ts'
import {
  addRaw,
  BATCH_CHUNKS_MAX,
  batchBytes,
  batchHasRoom,
  clearedBatch,
  emptyBatch,
  readRow,
} from './codec-batch.ts'
import type { FinishedPack, OpenPacks } from './open-packs.ts'
import type { PackKind } from './pack-format.ts'
import type { Retirements } from './retirements.ts'
import type { Stores } from './stores.ts'

/** A chunk of the new set. */
interface NewChunk {
  readonly kind: PackKind
  readonly bytes: Uint8Array
  /** What the base set has at the same place: reused when equal, otherwise retired. */
  readonly before: ChunkAtPlace | null
  /** Told once the chunk has its reference, in the order in which chunks were put. */
  readonly settled: (ref: ChunkRef) => void
}

/** Takes chunks, reuses or stores each, and tells where it is. */
export interface ChunkSink {
  /** What contents are cut at. */
  readonly chunkBytes: number
  /** Copies the bytes; waits while too much is under way. */
  put(chunk: NewChunk): Promise<void>
  /** Resolves when every chunk put so far is settled. */
  flush(): Promise<void>
  /** After a flush: makes the packs durable. */
  finish(): Promise<readonly FinishedPack[]>
  /** Stored bytes of the chunks written so far, with their index rows' cost. */
  readonly newBytes: number
  /** Resolves, whatever failed, when nothing of it is under way any more. */
  idle(): Promise<void>
}

interface Draft {
  readonly batch: CodecBatch
  readonly chunks: Omit<NewChunk, 'bytes'>[]
}

/** Batches of this sink in the codec or waiting for their turn to be stored. */
const BATCHES_MAX = 4

export function createChunkSink(
  { codec, hashKey, chunkBytes }: Pick<Stores, 'codec' | 'hashKey' | 'chunkBytes'>,
  packs: OpenPacks,
  retirements: Retirements,
  signal: AbortSignal,
): ChunkSink {
  const underWay: Promise<void>[] = []
  // Buffers are large: made once and used again, they do not wait for the garbage collector.
  const spare: CodecBatch[] = []
  let draft: Draft | null = null
  let newBytes = 0

  async function store(batch: CodecBatch, chunks: Draft['chunks']): Promise<void> {
    for (const [index, { kind, before, settled }] of chunks.entries()) {
      const row = readRow(batch, index)
      if (row.flagged && before) {
        settled(before.ref)
        continue
      }
      const stored = batchBytes(batch, row.offset, row.storedBytes)
      const ref = await packs.append(kind, row, stored)
      newBytes += chunkCost(ref)
      if (before) retirements.retire(before.ref)
      settled(ref)
    }
  }

  /** Batches are stored in the order in which they were filled: packs follow the files' order. */
  async function encodeAfter(previous: Promise<void>, { batch, chunks }: Draft): Promise<void> {
    const [encoded] = await Promise.all([codec.encode(batch, hashKey, signal), previous])
    await store(encoded, chunks)
    spare.push(clearedBatch(encoded))
  }

  async function submit(): Promise<void> {
    if (!draft) return
    const work = encodeAfter(underWay.at(-1) ?? Promise.resolve(), draft)
    draft = null
    // It is awaited below or by whoever comes next; until then a failure is not unhandled.
    work.catch(() => {})
    underWay.push(work)
    if (underWay.length < BATCHES_MAX) return
    await underWay[0]
    underWay.splice(0, 1)
  }

  return {
    chunkBytes,
    async put({ kind, bytes, before, settled }) {
      if (draft && !batchHasRoom(draft.batch, bytes.length)) await submit()
      draft ??= { batch: spare.pop() ?? emptyBatch(BATCH_CHUNKS_MAX * chunkBytes), chunks: [] }
      const known = before?.rawBytes === bytes.length ? before.ref.hash : null
      addRaw(draft.batch, bytes, known)
      draft.chunks.push({ kind, before, settled })
    },
    async flush() {
      await submit()
      await underWay.at(-1)
      underWay.length = 0
    },
    finish: () => packs.finish(),
    get newBytes() {
      return newBytes
    },
    async idle() {
      await Promise.allSettled(underWay)
    },
  }
}
