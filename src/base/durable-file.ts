import { link, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileFault } from './fault.ts'
import { randomName } from './ids.ts'

/** Makes the names in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  await syncFile(directory)
}

/** Makes a file's bytes durable. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Replaces a file durably: afterwards, and after any crash, it is the old or the new one, whole. */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  mode: number,
  owner: { readonly uid: number; readonly gid: number } | null,
): Promise<void> {
  const draft = `${path}.${randomName(8)}.draft`
  try {
    const handle = await open(draft, 'wx', mode)
    try {
      await handle.chmod(mode)
      if (owner !== null) await handle.chown(owner.uid, owner.gid)
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/** Creates a private file (0600) durably and whole; Fault 'exists' when there is one already. */
export async function createExclusive(path: string, content: string): Promise<void> {
  const draft = `${path}.${randomName(8)}.draft`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A link, unlike a rename, never replaces what is there.
    await link(draft, path)
  } catch (error) {
    throw fileFault(error, `creating ${path}`)
  } finally {
    await rm(draft, { force: true })
  }
  await syncDirectory(dirname(path))
}
