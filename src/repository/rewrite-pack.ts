import { Fault } from '../base/fault.ts'
import { countBits, hasBit } from '../series/bitmap.ts'
import { CHUNK_INDEX_BYTES, PACK_FIXED_BYTES } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import type { PackOwner } from './header.ts'
import { encodeIndexRow, encodePackFooter, encodePackHeader } from './pack-format.ts'
import type { PackIndex } from './pack-index.ts'
import { readPackIndex } from './pack-index.ts'
import type { RewriteStep } from './repository.ts'
import type { PlacedRow } from './stored-chunks.ts'
import { placedRow, storedChunks } from './stored-chunks.ts'

/**
 * Copies the kept chunks, as they are stored, into the next generation. Faults: 'corrupt' when a
 * chunk to be kept is missing or damaged, or when they do not add up to the size that was decided.
 */
export async function rewritePack(
  storage: Storage,
  owner: PackOwner,
  step: RewriteStep,
  signal: AbortSignal,
): Promise<void> {
  const { series, pack, from, to } = step
  const place = { owner, series, pack, location: from }
  const index = await readPackIndex(storage, place, signal)
  const kept = keptChunks(index, step)
  const header = encodePackHeader({ ...index.header, generation: to.generation })
  const rows = Buffer.concat(kept.map(({ row }) => encodeIndexRow(row)))
  async function* bytes(): AsyncIterable<Uint8Array> {
    yield header
    yield* storedChunks(storage, from.object, kept, signal)
    yield rows
    yield encodePackFooter(header, rows)
  }
  await storage.write(to.object, bytes(), signal)
}

function keptChunks(index: PackIndex, { from, to, keep }: RewriteStep): readonly PlacedRow[] {
  const kept: PlacedRow[] = []
  let objectBytes = PACK_FIXED_BYTES
  for (let position = 0; position < index.chunkCount; position += 1) {
    const chunk = placedRow(index, position)
    if (!hasBit(keep, chunk.row.chunk)) continue
    kept.push(chunk)
    objectBytes += chunk.length + CHUNK_INDEX_BYTES
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
