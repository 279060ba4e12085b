import { stat, statfs } from 'node:fs/promises'

/** The folders whose file systems must not fill up, by the name they are shown with. */
export interface WatchedFolders {
  readonly data: string
  /** Null in a process that does not touch it. */
  readonly storage: string | null
}

export type FolderName = keyof WatchedFolders

/** What is left of a file system for who is not root. */
export interface Space {
  readonly folder: FolderName
  readonly freeBytes: number
  readonly sizeBytes: number
}

/** One row for each folder. Throws when one cannot be asked. */
export function spaceOf({ data, storage }: WatchedFolders): Promise<readonly Space[]> {
  const asked = [spaceOfOne('data', data)]
  if (storage !== null) asked.push(spaceOfOne('storage', storage))
  return Promise.all(asked)
}

/** The folders without those that lie on the file system of an earlier one. */
export async function distinctFolders(folders: WatchedFolders): Promise<readonly FolderName[]> {
  if (folders.storage === null) return ['data']
  const [data, storage] = await Promise.all([stat(folders.data), stat(folders.storage)])
  return data.dev === storage.dev ? ['data'] : ['data', 'storage']
}

async function spaceOfOne(folder: FolderName, path: string): Promise<Space> {
  const { bavail, blocks, bsize } = await statfs(path)
  return { folder, freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
}
