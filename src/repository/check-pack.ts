import { Fault } from '../base/fault.ts'
import type { Storage } from '../storage/storage.ts'
import type { PackPlace } from './pack-index.ts'
import { readPackIndex } from './pack-index.ts'
import { placedRow, storedChunks } from './stored-chunks.ts'

/** Reads every byte of a pack's object. Faults: see `Repository.checkPack`. */
export async function checkPack(
  storage: Storage,
  place: PackPlace,
  signal: AbortSignal,
): Promise<void> {
  const { object, objectBytes } = place.location
  const size = await storage.size(object, signal)
  if (size === null) throw new Fault('not-found', `pack ${object} is gone`)
  if (size !== objectBytes) {
    throw new Fault('corrupt', `pack ${object} has ${size} bytes instead of ${objectBytes}`)
  }
  const index = await readPackIndex(storage, place, signal)
  const chunks = Array.from({ length: index.chunkCount }, (_, position) =>
    placedRow(index, position),
  )
  for await (const _ of storedChunks(storage, object, chunks, signal)) signal.throwIfAborted()
}
