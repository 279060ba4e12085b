import { open, readdir, readlink, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { TreeEntry } from '../src/base/file-tree.ts'

/** About what a database server sends at once. */
const BLOCK_BYTES = 128 * 1024

/** A directory as a tree of entries, read as it is consumed. */
export async function* directoryTree(directory: string): AsyncGenerator<TreeEntry> {
  const found = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = found.map((entry) => ({ entry, full: join(entry.parentPath, entry.name) }))
  paths.sort((left, right) => (left.full < right.full ? -1 : 1))
  for (const { entry, full } of paths) {
    const path = relative(directory, full)
    if (entry.isSymbolicLink()) {
      yield { kind: 'link', path, mode: 0o777, target: await readlink(full) }
      continue
    }
    const mode = (await stat(full)).mode & 0o777
    if (entry.isDirectory()) yield { kind: 'directory', path, mode }
    else yield { kind: 'file', path, mode, content: fileContent(full) }
  }
}

async function* fileContent(path: string): AsyncGenerator<Uint8Array> {
  const handle = await open(path, 'r')
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(BLOCK_BYTES))
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
