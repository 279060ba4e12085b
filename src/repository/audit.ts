import type { PackNumber, StoredSet } from '../series/series.ts'
import type { ChunkRef } from './chunk-ref.ts'
import { chunkCost } from './chunk-ref.ts'
import { openStoredTree } from './stored-tree.ts'
import type { Stores } from './stores.ts'

interface UsedChunk {
  readonly pack: PackNumber
  readonly chunk: number
  readonly bytes: number
}

/** Every chunk that a set uses, each once: pieces of the list, then each file's map and contents. */
export async function* auditSet(
  stores: Stores,
  set: StoredSet,
  signal: AbortSignal,
): AsyncIterable<UsedChunk> {
  const tree = await openStoredTree(stores, set, signal)
  for (const piece of tree.manifest.list) yield used(piece.ref)
  for await (const entry of tree.entries(signal)) {
    if (entry.kind !== 'file') continue
    const file = tree.file(entry)
    for (const [level, count] of file.shape.entries()) {
      for (let index = 0; index < count; index += 1) {
        const found = await file.at(level, index, signal)
        if (found) yield used(found.ref)
      }
    }
  }
}

function used(ref: ChunkRef): UsedChunk {
  return { pack: ref.pack, chunk: ref.chunk, bytes: chunkCost(ref) }
}
