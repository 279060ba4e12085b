import {
  chown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { replaceFile, syncDirectory } from '../base/durable-file.ts'
import { Fault, fileFault, systemCode } from '../base/fault.ts'

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
 * case it is emptied.
 */
export async function claimTarget(
  directory: string,
  holder: string,
  lives: (holder: string) => Promise<boolean>,
): Promise<RestoreTarget> {
  let made: string | null = null
  try {
    made = await makeFolder(directory)
    await takeOver(directory, holder, lives)
    await writeFile(join(directory, MARKER), holder, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if (made !== null) await removeFolders(directory, made)
    throw fileFault(error, `cannot restore into ${directory}`)
  }
  let finished = false
  const target: RestoreTarget = {
    finish: async () => {
      await rm(join(directory, MARKER))
      await syncDirectory(directory)
      await syncDirectory(dirname(directory))
      finished = true
    },
    [Symbol.asyncDispose]: async () => {
      if (finished || (await readHolder(directory)) !== holder) return
      await empty(directory)
      if (made !== null) await removeFolders(directory, made)
    },
  }
  try {
    await requireEmpty(directory)
    return target
  } catch (error) {
    await rm(join(directory, MARKER), { force: true })
    if (made !== null) await removeFolders(directory, made)
    throw error
  }
}

/**
 * Takes the folder of a restore and those of its tablespaces, which get its owner. They are emptied
 * together when they are disposed unfinished; finished, the main folder is the last one to lose its
 * mark, so that it never looks whole before all of it is. There must be room for `contentBytes`.
 */
export async function claimTargets(
  directory: string,
  tablespaces: readonly string[],
  contentBytes: number,
  claim: (directory: string) => Promise<RestoreTarget>,
): Promise<RestoreTarget> {
  await markAgain(directory, tablespaces)
  await using stack = new AsyncDisposableStack()
  const main = stack.use(await claim(directory))
  const others: RestoreTarget[] = []
  for (const tablespace of tablespaces) {
    others.push(stack.use(await claim(tablespace)))
    if (process.getuid?.() !== 0) continue
    const { uid, gid } = await stat(directory)
    await chown(tablespace, uid, gid)
  }
  await requireRoom([directory, ...tablespaces], contentBytes)
  const claimed = stack.move()
  return {
    finish: async () => {
      const [holder = ''] = (await readMarker(directory)) ?? []
      const marker = [holder, ...tablespaces].join('\n')
      if (others.length > 0) await replaceFile(join(directory, MARKER), marker, 0o600, null)
      for (const target of others) await target.finish()
      await main.finish()
    },
    [Symbol.asyncDispose]: () => claimed.disposeAsync(),
  }
}

/**
 * A restore that was killed while it took the marks off again had filled these tablespaces: they get
 * its mark back, and are claimed like everything else that it left.
 */
async function markAgain(directory: string, tablespaces: readonly string[]): Promise<void> {
  const [holder, ...finished] = (await readMarker(directory)) ?? []
  for (const tablespace of tablespaces.filter((each) => finished.includes(each))) {
    try {
      await writeFile(join(tablespace, MARKER), holder ?? '', { flag: 'wx', mode: 0o600 })
    } catch (error) {
      // Not reached by then, or gone since.
      if (!['EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw error
    }
  }
}

/**
 * Makes the folder, private, and those on the way to it, which the server's user must pass through.
 * Gives the outermost that was made; null when the folder was there.
 */
async function makeFolder(directory: string): Promise<string | null> {
  const outermost = await mkdir(dirname(directory), { recursive: true })
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && (await stat(directory)).isDirectory()) return null
    throw error
  }
  return outermost ?? directory
}

/** Removes the empty folder and those above it, up to `outermost`; what others use stays. */
async function removeFolders(directory: string, outermost: string): Promise<void> {
  for (let path = directory; path.startsWith(outermost); path = dirname(path)) {
    try {
      await rmdir(path)
    } catch (error) {
      if (systemCode(error) === 'ENOTEMPTY') return
      throw error
    }
  }
}

async function takeOver(
  directory: string,
  holder: string,
  lives: (holder: string) => Promise<boolean>,
): Promise<void> {
  await resumeTakeOver(directory, lives)
  const before = await readHolder(directory)
  if (before === null) return requireEmpty(directory)
  if (await lives(before)) {
    throw new Fault('exists', `another restore is filling ${directory}`)
  }
  // Of two that take over at once one renames the marker; the other finds it gone.
  const stale = join(directory, `${MARKER}.${holder}`)
  await rename(join(directory, MARKER), stale)
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    if (path !== stale) await rm(path, { recursive: true, force: true })
  }
  await rm(stale)
}

/** A takeover that was killed while it emptied the folder: its mark carries its own name. */
async function resumeTakeOver(
  directory: string,
  lives: (holder: string) => Promise<boolean>,
): Promise<void> {
  const prefix = `${MARKER}.`
  const name = (await readdir(directory)).find(
    // A draft of the mark itself is no mark.
    (each) => each.startsWith(prefix) && !each.endsWith('.draft'),
  )
  if (name === undefined) return
  if (await lives(name.slice(prefix.length))) {
    throw new Fault('exists', `another restore is filling ${directory}`)
  }
  await rename(join(directory, name), join(directory, MARKER))
}

async function requireEmpty(directory: string): Promise<void> {
  const names = await readdir(directory)
  if (names.every((name) => name === MARKER)) return
  throw new Fault('exists', `${directory} is not empty`, {
    hint: 'name a folder that does not exist yet, or an empty one',
  })
}

/** How much of the set goes to which of several file systems is not known: their sum decides. */
async function requireRoom(directories: readonly string[], contentBytes: number): Promise<void> {
  const freeBytes = new Map<number, number>()
  for (const directory of directories) {
    const { bavail, bsize } = await statfs(directory)
    freeBytes.set((await stat(directory)).dev, bavail * bsize)
  }
  const free = [...freeBytes.values()].reduce((sum, bytes) => sum + bytes, 0)
  const neededBytes = contentBytes + SPARE_BYTES
  if (free >= neededBytes) return
  throw new Fault(
    'no-space',
    `the set needs ${neededBytes} bytes, ${directories.join(' and ')} have ${free} free`,
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
  return (await readMarker(directory))?.[0] ?? null
}

/** The holder, then the tablespaces that have lost or are losing their own marks. */
async function readMarker(directory: string): Promise<readonly string[] | null> {
  try {
    return (await readFile(join(directory, MARKER), 'utf8')).split('\n')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return null
    throw error
  }
}
