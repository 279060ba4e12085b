import { Fault } from '../base/fault.ts'
import { countBits, hasBit } from '../series/bitmap.ts'
import { CHUNK_INDEX_BYTES, PACK_FIXED_BYTES } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import { storedCheck } from './codec.ts'
import type { IndexRow } from './pack-format.ts'
import { encodeIndexRow, encodePackFooter, encodePackHeader } from './pack-format.ts'
import type { PackIndex } from './pack-index.ts'
import { readPackIndex } from './pack-index.ts'
import { coalesce } from './read-plan.ts'
import type { RewriteStep } from './repository.ts'

interface KeptChunk {
  readonly row: IndexRow
  readonly offset: number
  readonly length: number
}

/**
 * Copies the kept chunks, as they are stored, into the next generation. Faults: 'corrupt' when a
 * chunk to be kept is missing or damaged, or when they do not add up to the size that was decided.
 */
export async function rewritePack(
  storage: Storage,
  step: RewriteStep,
  signal: AbortSignal,
): Promise<void> {
  const { from, to } = step
  const index = await readPackIndex(storage, step.pack, from, signal)
  const kept = keptChunks(index, step)
  const header = encodePackHeader({ ...index.header, generation: to.generation })
  const rows = Buffer.concat(kept.map(({ row }) => encodeIndexRow(row)))
  async function* bytes(): AsyncIterable<Uint8Array> {
    yield header
    for (const read of coalesce(kept)) {
      const block = await storage.readRange(from.object, read.offset, read.length, signal)
      for (const { row, offset, length } of read.parts) {
        const stored = block.subarray(offset - read.offset, offset - read.offset + length)
        if (!storedCheck(stored).equals(row.check)) {
          throw new Fault('corrupt', `chunk ${row.chunk} of pack ${from.object} is damaged`)
        }
        yield stored
      }
    }
    yield rows
    yield encodePackFooter(header, rows)
  }
  await storage.write(to.object, bytes(), signal)
}

function keptChunks(index: PackIndex, { from, to, keep }: RewriteStep): readonly KeptChunk[] {
  const kept: KeptChunk[] = []
  let objectBytes = PACK_FIXED_BYTES
  for (let position = 0; position < index.chunkCount; position += 1) {
    const row = index.row(position)
    if (!hasBit(keep, row.chunk)) continue
    kept.push({ row, offset: index.offset(position), length: row.storedBytes })
    objectBytes += row.storedBytes + CHUNK_INDEX_BYTES
  }
  if (kept.length !== countBits(keep)) {
    throw new Fault('corrupt', `pack ${from.object} lacks chunks that are to be kept`)
  }
  if (objectBytes !== to.objectBytes) {
    const sizes = `${objectBytes} bytes instead of ${to.objectBytes}`
    throw new Fault('corrupt', `the kept chunks of pack ${from.object} make ${sizes}`)
  }
  return kept
}
