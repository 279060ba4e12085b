import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { describeError, Fault, fileFault } from '../base/fault.ts'

/** The paths of a data folder. */
export interface DataFolder {
  readonly root: string
  readonly catalogue: string
  readonly catalogueLog: string
  readonly cataloguePassword: string
  readonly accessKey: string
  readonly running: string
  /** Heads of the chains of receipts, kept outside the catalogue. */
  readonly receiptHeads: string
  readonly instances: string
  readonly scratch: string
  readonly binaries: string
}

/** What a data folder holds; the first start may have been killed before the catalogue was whole. */
const CONTENTS =
  /^(catalogue(-password)?|access-key\.json|running\.json|receipt-heads\.json|key|lock|logs|instances|scratch|binaries|storage)(\.[a-z0-9.]+)?$/

/**
 * Makes the folder and what must be in it, or opens one that was made before; any other folder that
 * is not empty is refused, and the mode of a folder that was there is left alone. One made here is
 * passable for others (0711) when database servers run as another user, else private; what is secret
 * in it is private in any case.
 */
export async function openDataFolder(root: string, passable: boolean): Promise<DataFolder> {
  const mode = passable ? 0o711 : 0o700
  try {
    if ((await mkdir(root, { recursive: true, mode })) !== undefined) await chmod(root, mode)
    const strange = (await readdir(root)).find((name) => !CONTENTS.test(name))
    if (strange !== undefined && !(await isDataFolder(root))) {
      throw new Fault('unfit', `${root} is no data folder, and not empty: it holds ${strange}`, {
        hint: 'name an empty folder, or one that does not exist yet',
      })
    }
    return await openParts(root, mode)
  } catch (error) {
    throw fileFault(error, `the data folder ${root}`)
  }
}

/** Whether a service was ever started on the folder; an upgrade may have been killed since. */
export async function isDataFolder(root: string): Promise<boolean> {
  const names = await readdir(root).catch(() => [])
  for (const name of names.filter((one) => /^catalogue(\.\d+)?$/.test(one))) {
    if ((await stat(join(root, name, 'PG_VERSION')).catch(() => null)) !== null) return true
  }
  return false
}

async function openParts(root: string, mode: number): Promise<DataFolder> {
  const instances = join(root, 'instances')
  if ((await mkdir(instances, { recursive: true, mode })) !== undefined)
    await chmod(instances, mode)
  const scratch = join(root, 'scratch')
  await mkdir(scratch, { recursive: true, mode: 0o700 })
  const logs = join(root, 'logs')
  await mkdir(logs, { recursive: true, mode: 0o700 })
  return {
    root: await realpath(root),
    catalogue: join(root, 'catalogue'),
    catalogueLog: join(logs, 'catalogue.log'),
    cataloguePassword: join(root, 'catalogue-password'),
    accessKey: join(root, 'access-key.json'),
    running: join(root, 'running.json'),
    receiptHeads: join(root, 'receipt-heads.json'),
    instances,
    scratch,
    binaries: join(root, 'binaries'),
  }
}

/** A lock on the data folder; disposing gives it back. */
export interface FolderLock extends AsyncDisposable {
  /** Resolves when the lock is gone though nobody gave it back. */
  readonly lost: Promise<void>
}

/** A killed process's lock is gone a moment after the process. */
const LOCK_TRIES_MAX = 10
const LOCK_PAUSE_MS = 100
const LOCKED = 75

/**
 * Holds the folder against other processes, in other containers too: a `flock` on a file in it, held
 * by a child that ends with its standard input, that is with this process, however it ends. So there
 * is no stale lock.
 */
export async function lockDataFolder(folder: DataFolder): Promise<FolderLock> {
  for (let tries = 1; ; tries += 1) {
    const lock = await tryLock(join(folder.root, 'lock'))
    if (lock) return lock
    if (tries === LOCK_TRIES_MAX) break
    await pause(LOCK_PAUSE_MS)
  }
  throw new Fault('exists', `another process serves the data folder ${folder.root}`, {
    hint: 'stop it first, or use another HOLDFAST_DATA',
  })
}

async function tryLock(file: string): Promise<FolderLock | null> {
  const words = ['--nonblock', '--conflict-exit-code', String(LOCKED), file]
  const child = spawn('flock', [...words, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin' },
    // A session of its own: Ctrl-C must not take the lock before its holder has stopped.
    detached: true,
  })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  const held = once(child.stdout, 'data').then(() => 'held' as const)
  try {
    const answer = await Promise.race([held, exited])
    if (answer === LOCKED) return null
    if (answer !== 'held') throw new Error(`flock ended with ${answer}`)
  } catch (error) {
    throw new Fault('unfit', `the data folder cannot be locked: ${describeError(error)}`, {
      hint: 'the program flock is needed, of the package util-linux',
    })
  }
  let given = false
  return {
    lost: exited.then(() => (given ? new Promise<void>(() => {}) : undefined)),
    [Symbol.asyncDispose]: async () => {
      given = true
      child.stdin.end()
      await exited
    },
  }
}
