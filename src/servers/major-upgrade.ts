import { readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { syncDirectory } from '../base/durable-file.ts'
import { Fault, isFault, systemCode } from '../base/fault.ts'
import { sizeOfFiles } from '../base/folder-size.ts'
import type { Logger } from '../base/logger.ts'
import { locateBinaries, type PostgresBinaries } from './binaries.ts'
import { stopLeftover } from './leftover.ts'
import { createPostgresData, type PostgresDataPlan } from './postgres-data.ts'
import { startPostgres } from './postgres-server.ts'

/** A data directory that is to be of `plan.binaries`' major, and who copies what is in it. */
export interface MajorUpgrade {
  readonly plan: PostgresDataPlan
  readonly mirrorDirectory: string
  /** Short; each of the two servers gets a folder in it. */
  readonly socketRoot: string
  readonly port: number
  readonly logFile: string
  /** Copies and compares everything; both servers listen in these folders. */
  copy(fromSocket: string, toSocket: string, signal: AbortSignal): Promise<void>
}

/** What a new data directory takes before anything is copied to it, log segments included. */
const EMPTY_BYTES = 192 * 1024 * 1024

/**
 * Sees that the data directory, if there is one, is of the wanted major: an older one is copied to a
 * new directory beside it, which takes its name once the copy is whole and durable; the old one is
 * kept as `<directory>.<its major>`. A kill at any moment leaves the old or the new one, and the next
 * call goes on. Refused, with nothing changed: a newer one (`unfit`), programs of the old major that
 * are not installed (`unfit`), a copy of an earlier upgrade in the way (`exists`), too little space
 * (`no-space`).
 */
export async function upgradePostgresData(
  upgrade: MajorUpgrade,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { directory, binaries } = upgrade.plan
  const wanted = binaries.major
  const finished = `${directory}.${wanted}`
  if (await finishSwitch(directory, wanted)) {
    log.info('data directory upgraded', { directory, to: wanted })
  }
  const found = await readMajor(directory)
  const kept = await keptBeside(directory)
  if (found === null) return requireNone(directory, kept)
  if (found === wanted) {
    for (const old of kept) log.info('data directory of an earlier major is kept', { old })
    return
  }
  if (found > wanted) {
    throw new Fault('unfit', `${directory} was made by PostgreSQL ${found}, this is ${wanted}`, {
      hint: 'run the version of this service that made it, or a later one',
    })
  }
  const old = await oldPrograms(upgrade, found)
  await requireRoom(directory, found)
  log.info('upgrade of a data directory started', { directory, from: found, to: wanted })
  // A finished copy whose switch did not begin may be older than what it was made from.
  for (const abandoned of [`${finished}.draft`, finished]) {
    await stopLeftover(abandoned, signal)
    await rm(abandoned, { recursive: true, force: true })
  }
  await copyWhole(upgrade, old, finished, signal)
  await rename(directory, `${directory}.${found}`)
  await syncDirectory(dirname(directory))
  await finishSwitch(directory, wanted)
  log.info('data directory upgraded', { directory, from: found, to: wanted })
}

/** The major that made a data directory; null when there is none. */
export async function readMajor(directory: string): Promise<number | null> {
  try {
    const text = await readFile(join(directory, 'PG_VERSION'), 'utf8')
    if (/^\d+\n?$/.test(text)) return Number(text)
    throw new Fault('corrupt', `${directory}/PG_VERSION names no version of PostgreSQL`)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}

/** Whole data directories beside this one: `<directory>.<major>`. */
async function keptBeside(directory: string): Promise<readonly string[]> {
  const folder = dirname(directory)
  const names = await readdir(folder)
  const kept = names.filter((name) => {
    return name.startsWith(`${basename(directory)}.`) && /\.\d+$/.test(name)
  })
  return kept.map((name) => join(folder, name))
}

/** A new, empty directory where only an old one is left would look as if everything were lost. */
function requireNone(directory: string, kept: readonly string[]): void {
  if (kept.length === 0) return
  throw new Fault('unfit', `${directory} is missing, but ${kept.join(', ')} is there`, {
    hint: `rename the one to use to ${directory}`,
  })
}

/** The second half of the switch: the old directory has gone aside, the new one takes its name. */
async function finishSwitch(directory: string, wanted: number): Promise<boolean> {
  if ((await stat(directory).catch(() => null)) !== null) return false
  const finished = `${directory}.${wanted}`
  if ((await readMajor(finished)) !== wanted) return false
  await rename(finished, directory)
  await syncDirectory(dirname(directory))
  return true
}

async function oldPrograms(upgrade: MajorUpgrade, found: number): Promise<PostgresBinaries> {
  const { plan, mirrorDirectory } = upgrade
  try {
    return await locateBinaries(String(found), plan.user, mirrorDirectory)
  } catch (error) {
    if (!isFault(error, 'unfit')) throw error
    throw new Fault(
      'unfit',
      `${plan.directory} was made by PostgreSQL ${found}, whose programs are needed to bring it ` +
        `to ${plan.binaries.major}: ${error.message}`,
      { cause: error, hint: error.hint ?? 'install them' },
    )
  }
}

async function requireRoom(directory: string, found: number): Promise<void> {
  const aside = `${directory}.${found}`
  if ((await stat(aside).catch(() => null)) !== null) {
    throw new Fault('exists', `${aside}, which an earlier upgrade kept, is in the way`, {
      hint: `move ${aside} out of the data folder, or remove it`,
    })
  }
  const needed = (await sizeOfFiles(directory)) + EMPTY_BYTES
  const { bavail, bsize } = await statfs(dirname(directory))
  if (bavail * bsize >= needed) return
  throw new Fault(
    'no-space',
    `the upgrade of ${directory} needs ${needed} bytes, ${bavail * bsize} are free`,
    { hint: 'free space on that file system, and start again; nothing has been changed' },
  )
}

/** Makes `finished` appear, whole and durable, or leaves nothing of it. */
async function copyWhole(
  upgrade: MajorUpgrade,
  old: PostgresBinaries,
  finished: string,
  signal: AbortSignal,
): Promise<void> {
  const { plan, port, logFile, socketRoot } = upgrade
  const draft = `${finished}.draft`
  const common = { user: plan.user, port, listen: 'socket', logFile } as const
  const fromSocket = join(socketRoot, 'old')
  const toSocket = join(socketRoot, 'new')
  try {
    await createPostgresData({ ...plan, directory: draft }, signal)
    {
      await using _from = await startPostgres(
        {
          ...common,
          directory: plan.directory,
          binaries: old,
          socketDirectory: fromSocket,
          settings: { default_transaction_read_only: 'on' },
        },
        signal,
      )
      await using _to = await startPostgres(
        { ...common, directory: draft, binaries: plan.binaries, socketDirectory: toSocket },
        signal,
      )
      await upgrade.copy(fromSocket, toSocket, signal)
    }
    // The servers have stopped after a checkpoint: every file is on the disk.
    await syncDirectory(draft)
    await rename(draft, finished)
    await syncDirectory(dirname(finished))
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
}
