import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../base/fault.ts'

/** Σ st_size of all files below a folder, by the file system alone: unfinished ones count too. */
export async function sumFileSizes(folder: string): Promise<number> {
  let total = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) total += await sizeOf(join(entry.parentPath, entry.name))
  }
  return total
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).size
  } catch (error) {
    // Removed between the listing and the look.
    if (systemCode(error) === 'ENOENT') return 0
    throw error
  }
}
