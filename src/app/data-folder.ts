import { chmod, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { Fault, fileFault } from '../base/fault.ts'
import { type FileLock, tryFileLock } from '../base/file-lock.ts'
import { randomName } from '../base/ids.ts'

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
  /** Says that the catalogue is elsewhere; there while it is. */
  readonly catalogueElsewhere: string
  readonly instances: string
  /** Held by the process that runs the servers below `instances`. */
  readonly instancesLock: string
  readonly scratch: string
  readonly binaries: string
}

const ELSEWHERE = 'catalogue.elsewhere'

/** Where a process that uses the data folder keeps the heads of receipts. */
export function headsIn(root: string): string {
  return join(root, 'receipt-heads.json')
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

/** A folder whose catalogue is elsewhere would begin anew, beside what it has made. */
export async function requireOwnCatalogue(root: string): Promise<void> {
  const file = join(root, ELSEWHERE)
  if ((await stat(file).catch(() => null)) === null) return
  throw new Fault('unfit', `the catalogue of ${root} is not in it, but in a PostgreSQL elsewhere`, {
    hint:
      'set HOLDFAST_DATABASE_URL as it was; or, to begin anew with a catalogue of its own, remove ' +
      file,
  })
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
    receiptHeads: headsIn(root),
    catalogueElsewhere: join(root, ELSEWHERE),
    instances,
    instancesLock: join(root, 'instances.lock'),
    scratch,
    binaries: join(root, 'binaries'),
  }
}

/** A killed process's lock is gone a moment after the process. */
const LOCK_TRIES_MAX = 10
const LOCK_PAUSE_MS = 100

/** Holds the folder against other processes; waits for at most `tries` tenths of a second. */
export async function lockDataFolder(
  folder: DataFolder,
  tries = LOCK_TRIES_MAX,
): Promise<FileLock> {
  for (let count = 1; ; count += 1) {
    const lock = await tryFileLock(join(folder.root, 'lock'))
    if (lock) return lock
    if (count >= tries) break
    await pause(LOCK_PAUSE_MS)
  }
  throw new Fault('exists', `another process serves the data folder ${folder.root}`, {
    hint: 'stop it first, or use another HOLDFAST_DATA',
  })
}

/** Removes what lies in the scratch folder: it is of no use to anyone. The caller is alone with it. */
export async function emptyScratch(folder: DataFolder): Promise<void> {
  for (const name of await readdir(folder.scratch)) {
    await rm(join(folder.scratch, name), { recursive: true })
  }
}

/** Where one of several processes keeps what it needs for a while; disposing removes it. */
export interface OwnScratch extends AsyncDisposable {
  readonly path: string
  /** Resolves when others may take this process for dead. */
  readonly lost: Promise<void>
}

/** Names the folder for sockets that goes with a scratch folder. */
const SOCKETS = 'sockets'

/**
 * A folder of this process's own in the scratch folder, which says by a lock beside it that the
 * process lives; with what dead ones left removed. The caller holds the lock on the data folder.
 */
export async function claimScratch(folder: DataFolder, socketRoot: string): Promise<OwnScratch> {
  await removeDead(folder.scratch)
  const path = join(folder.scratch, randomName(12))
  const lock = await tryFileLock(`${path}.lock`)
  if (lock === null) throw new Error("a new name in the scratch folder is nobody else's")
  await mkdir(path, { mode: 0o700 })
  await writeFile(join(path, SOCKETS), socketRoot)
  return {
    path,
    lost: lock.lost,
    [Symbol.asyncDispose]: async () => {
      await rm(path, { recursive: true, force: true })
      await rm(`${path}.lock`, { force: true })
      await lock[Symbol.asyncDispose]()
    },
  }
}

async function removeDead(scratch: string): Promise<void> {
  const names = await readdir(scratch)
  const living = new Set<string>()
  for (const file of names.filter((name) => name.endsWith('.lock'))) {
    const lock = await tryFileLock(join(scratch, file))
    if (lock === null) living.add(file).add(file.slice(0, -'.lock'.length))
    await lock?.[Symbol.asyncDispose]()
  }
  for (const name of names.filter((one) => !living.has(one))) {
    const sockets = await readFile(join(scratch, name, SOCKETS), 'utf8').catch(() => null)
    if (sockets !== null) await rm(sockets, { recursive: true, force: true })
    await rm(join(scratch, name), { recursive: true, force: true })
  }
}
