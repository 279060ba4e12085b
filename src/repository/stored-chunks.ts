import { Fault } from '../base/fault.ts'
import type { Storage } from '../storage/storage.ts'
import { storedCheck } from './codec.ts'
import type { IndexRow } from './pack-format.ts'
import type { PackIndex } from './pack-index.ts'
import { coalesce } from './read-plan.ts'

/**
 * The stored bytes of the chunks with these index rows, in ascending order of their numbers; a few
 * MiB are held at once. Fault 'corrupt' names a chunk whose bytes are not those of its row.
 */
export async function* storedChunks(
  storage: Storage,
  object: string,
  chunks: readonly PlacedRow[],
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  for (const read of coalesce(chunks)) {
    const block = await storage.readRange(object, read.offset, read.length, signal)
    for (const { row, offset, length } of read.parts) {
      const stored = block.subarray(offset - read.offset, offset - read.offset + length)
      if (!storedCheck(stored).equals(row.check)) {
        throw new Fault('corrupt', `chunk ${row.chunk} of pack ${object} is damaged`)
      }
      yield stored
    }
  }
}

/** A row of an index, and the part of the object that it describes. */
export interface PlacedRow {
  readonly row: IndexRow
  readonly offset: number
  readonly length: number
}

export function placedRow(index: PackIndex, position: number): PlacedRow {
  const row = index.row(position)
  return { row, offset: index.offset(position), length: row.storedBytes }
}
