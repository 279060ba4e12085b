import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from './fault.ts'

/**
 * Σ st_size of all files below a folder, as the file system alone tells it: unfinished ones count
 * too, links do not. What goes while the folder is walked counts as gone; the folder itself must be
 * there.
 */
export async function sizeOfFiles(folder: string): Promise<number> {
  let total = 0
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) total += await unlessGone(sizeOfFiles(path))
    else if (entry.isFile()) total += await unlessGone(sizeOf(path))
  }
  return total
}

async function sizeOf(file: string): Promise<number> {
  return (await lstat(file)).size
}

async function unlessGone(size: Promise<number>): Promise<number> {
  try {
    return await size
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0
    throw error
  }
}
