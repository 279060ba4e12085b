import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Σ st_size of all files below a folder, as the file system tells it. */
export async function sizeOfFiles(folder: string): Promise<number> {
  let total = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size
  }
  return total
}
