import { stat, statfs } from 'node:fs/promises'

/** The folders whose file systems must not fill up, by the name they are shown with. */
export interface WatchedFolders {
  readonly data: string
  readonly storage: string
}

export type FolderName = keyof WatchedFolders

/** What is left of a file system for who is not root. */
export interface Space {
  readonly folder: FolderName
  readonly freeBytes: number
  readonly sizeBytes: number
}

/** One row for each folder. Throws when one cannot be asked. */
export function spaceOf(folders: WatchedFolders): Promise<readonly Space[]> {
  return Promise.all([spaceOfOne(folders, 'data'), spaceOfOne(folders, 'storage')])
}

/** The folders without those that lie on the file system of an earlier one. */
export async function distinctFolders(folders: WatchedFolders): Promise<readonly FolderName[]> {
  const [data, storage] = await Promise.all([stat(folders.data), stat(folders.storage)])
  return data.dev === storage.dev ? ['data'] : ['data', 'storage']
}

async function spaceOfOne(folders: WatchedFolders, folder: FolderName): Promise<Space> {
  const { bavail, blocks, bsize } = await statfs(folders[folder])
  return { folder, freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
}
