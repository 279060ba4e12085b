import type { ChunkRef } from './chunk-ref.ts'
import type { ChunkSink } from './chunk-sink.ts'
import { retireBeyond } from './file-writer.ts'
import type { ListEntry } from './list-entry.ts'
import { cutList } from './list-pieces.ts'
import type { ListPieceAtPlace } from './manifest.ts'
import { comparePaths } from './path-order.ts'
import type { Retirements } from './retirements.ts'
import type { StoredTree } from './stored-tree.ts'

export interface WrittenList {
  readonly entryCount: number
  readonly pieces: readonly ListPieceAtPlace[]
}

/**
 * Stores the sorted list, and retires of the base what no longer has a place: files that are gone or
 * are no files any more, and pieces of its list.
 */
export async function writeList(
  entries: AsyncIterable<ListEntry>,
  base: StoredTree | null,
  sink: ChunkSink,
  retirements: Retirements,
  signal: AbortSignal,
): Promise<WrittenList> {
  const pieces: { firstPath: string; rawBytes: number; ref: ChunkRef }[] = []
  const replaced = new Set<string>()
  let entryCount = 0
  async function* counted(): AsyncIterable<ListEntry> {
    for await (const entry of entries) {
      entryCount += 1
      yield entry
    }
  }
  const joined = base ? retireGone(counted(), base, retirements, signal) : counted()
  for await (const { firstPath, bytes } of cutList(joined, sink.chunkBytes)) {
    const before = base?.pieceAt(firstPath) ?? null
    if (before) replaced.add(firstPath)
    const settled = (ref: ChunkRef): void => {
      pieces.push({ firstPath, rawBytes: bytes.length, ref })
    }
    await sink.put({ kind: 'tree', bytes, before, settled })
  }
  await sink.flush()
  for (const piece of base?.manifest.list ?? []) {
    if (!replaced.has(piece.firstPath)) retirements.retire(piece.ref)
  }
  return { entryCount, pieces }
}

/** Passes the new entries on, beside the base's in the same order. */
async function* retireGone(
  entries: AsyncIterable<ListEntry>,
  base: StoredTree,
  retirements: Retirements,
  signal: AbortSignal,
): AsyncIterable<ListEntry> {
  const retire = async (entry: ListEntry): Promise<void> => {
    if (entry.kind === 'file') await retireBeyond(base.file(entry), [], retirements, signal)
  }
  const old = base.entries(signal)[Symbol.asyncIterator]()
  let head = await old.next()
  for await (const entry of entries) {
    signal.throwIfAborted()
    while (!head.done && comparePaths(head.value.path, entry.path) < 0) {
      await retire(head.value)
      head = await old.next()
    }
    if (!head.done && head.value.path === entry.path) {
      // A file that is still one was retired, where it differs, when it was written.
      if (entry.kind !== 'file') await retire(head.value)
      head = await old.next()
    }
    yield entry
  }
  for (; !head.done; head = await old.next()) await retire(head.value)
}
