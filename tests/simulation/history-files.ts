import type { TreeEntry } from '../../src/base/file-tree.ts'
import type { Repository } from '../../src/repository/repository.ts'
import type { StoredSet } from '../../src/series/series.ts'
import type { Files } from './history-model.ts'

const NEVER = new AbortController().signal

/** All files of a set. */
export async function readFiles(repository: Repository, stored: StoredSet): Promise<Files> {
  const reader = await repository.readSet(stored, NEVER)
  const files = new Map<string, Uint8Array>()
  for await (const entry of reader.entries(NEVER)) {
    if (entry.kind !== 'file') continue
    const pieces: Uint8Array[] = []
    for await (const piece of entry.content) pieces.push(piece)
    files.set(entry.path, Buffer.concat(pieces))
  }
  return files
}

/** The chunks that a set uses with their stored bytes, as its real manifest and maps name them. */
export async function usedBy(
  repository: Repository,
  stored: StoredSet,
): Promise<ReadonlyMap<string, number>> {
  const uses = new Map<string, number>()
  for await (const { pack, chunk, bytes } of repository.audit(stored, NEVER)) {
    uses.set(`${pack}/${chunk}`, bytes)
  }
  return uses
}

export function* entriesOf(files: Files): Iterable<TreeEntry> {
  const folders = new Set<string>()
  for (const path of files.keys()) {
    const parts = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth += 1) {
      folders.add(parts.slice(0, depth).join('/'))
    }
  }
  for (const path of [...folders].sort()) yield { kind: 'directory', path, mode: 0o700 }
  for (const [path, bytes] of files) {
    yield { kind: 'file', path, mode: 0o600, content: pieces(bytes) }
  }
}

async function* pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += 50_000) {
    yield bytes.subarray(offset, offset + 50_000)
  }
}
