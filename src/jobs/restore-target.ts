import { mkdir, readdir, readFile, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../base/durable-file.ts'
import { Fault, fileFault, systemCode } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'

/**
 * In a folder that a restore fills, until it is done; holds the name under which that restore pins
 * its set. A folder whose restore is dead may be filled anew.
 */
export const MARKER = 'holdfast-restore-incomplete'

/** Room left over for the server's first start, besides the files themselves. */
const SPARE_BYTES = 64 * 1024 * 1024

/** A folder that is this restore's alone. Disposing it unfinished empties it again. */
export interface RestoreTarget extends AsyncDisposable {
  /** The folder holds what it should: it is no longer marked, and stays. */
  finish(): Promise<void>
}

/**
 * Takes the folder: absent, empty, or left behind by a restore that `lives` says is dead, in which
 * case it is emptied. Then there must be room for `contentBytes`.
 */
export async function claimTarget(
  directory: string,
  holder: string,
  contentBytes: number,
  lives: (holder: string) => Promise<boolean>,
): Promise<RestoreTarget> {
  let made = false
  try {
    made = (await mkdir(directory, { recursive: true, mode: 0o700 })) !== undefined
    await takeOver(directory, lives)
    await writeFile(join(directory, MARKER), holder, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    throw fileFault(error, `cannot restore into ${directory}`)
  }
  let finished = false
  const target: RestoreTarget = {
    finish: async () => {
      await rm(join(directory, MARKER))
      await syncDirectory(directory)
      finished = true
    },
    [Symbol.asyncDispose]: async () => {
      if (finished || (await readHolder(directory)) !== holder) return
      await empty(directory)
      if (made) await rmdir(directory)
    },
  }
  try {
    await requireEmpty(directory)
    await requireRoom(directory, contentBytes)
    return target
  } catch (error) {
    await rm(join(directory, MARKER), { force: true })
    if (made) await rmdir(directory)
    throw error
  }
}

async function takeOver(
  directory: string,
  lives: (holder: string) => Promise<boolean>,
): Promise<void> {
  const holder = await readHolder(directory)
  if (holder === null) return requireEmpty(directory)
  if (await lives(holder)) {
    throw new Fault('exists', `another restore is filling ${directory}`)
  }
  // Of two that take over at once one renames the marker; the other finds it gone.
  const stale = join(directory, `${MARKER}.${randomName(8)}`)
  await rename(join(directory, MARKER), stale)
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    if (path !== stale) await rm(path, { recursive: true, force: true })
  }
  await rm(stale)
}

async function requireEmpty(directory: string): Promise<void> {
  const names = await readdir(directory)
  if (names.every((name) => name === MARKER)) return
  throw new Fault('exists', `${directory} is not empty`, {
    hint: 'name a folder that does not exist yet, or an empty one',
  })
}

async function requireRoom(directory: string, contentBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const neededBytes = contentBytes + SPARE_BYTES
  if (bavail * bsize >= neededBytes) return
  throw new Fault(
    'no-space',
    `the set needs ${neededBytes} bytes, ${directory} has ${bavail * bsize} free`,
  )
}

/** The marker goes last, so that an interrupted removal is still recognised. */
async function empty(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name !== MARKER) await rm(join(directory, name), { recursive: true, force: true })
  }
  await rm(join(directory, MARKER), { force: true })
  await syncDirectory(dirname(directory))
}

async function readHolder(directory: string): Promise<string | null> {
  try {
    return await readFile(join(directory, MARKER), 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}
