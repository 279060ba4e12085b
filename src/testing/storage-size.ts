import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../base/fault.ts'

/** Σ st_size of all files below a folder, as the file system tells it. */
export async function sizeOfFiles(folder: string): Promise<number> {
  let total = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) total += await sizeOf(join(entry.parentPath, entry.name))
  }
  return total
}

/** A file that goes while the folder is walked counts as gone. */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0
    throw error
  }
}
