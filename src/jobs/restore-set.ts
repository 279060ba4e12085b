import { mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pause } from '../base/clock.ts'
import { syncDirectory } from '../base/durable-file.ts'
import { Fault, systemCode } from '../base/fault.ts'
import type { BackupSetId } from '../base/ids.ts'
import { randomName } from '../base/ids.ts'
import { writeTree } from '../base/tree-writer.ts'
import type { ReadableSet } from '../catalogue/backup-sets.ts'
import { findReadableSet } from '../catalogue/backup-sets.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { PIN_RENEW_MS, pinSet, unpinSet } from '../catalogue/pins.ts'
import type { Engine, SetDescription } from '../engines/engine.ts'
import type { Repository } from '../repository/repository.ts'

interface Needs {
  readonly catalogue: Catalogue
  readonly repository: Repository
  readonly engine: Engine
}

export interface RestoreProgress {
  readonly phase: 'restoring' | 'verifying'
  readonly doneBytes: number
  readonly ofBytes: number
}

export interface RestoreResult {
  readonly files: number
  readonly contentBytes: number
  readonly instanceId: string
  readonly description: SetDescription
}

/** In a folder that a restore began to fill and did not finish; such a folder may be filled anew. */
const MARKER = 'holdfast-restore-incomplete'

/** Room left over for the server's first start, besides the files themselves. */
const SPARE_BYTES = 64 * 1024 * 1024

/**
 * Writes a set into `directory` and makes it an independent server: every chunk is checked by its
 * hash, every file against the server's own manifest. The directory must be absent, empty, or left
 * behind by a restore that did not finish. While it runs the set can be neither deleted nor purged.
 */
export async function restoreSet(
  setId: BackupSetId,
  directory: string,
  needs: Needs,
  signal: AbortSignal,
  onProgress: (progress: RestoreProgress) => void,
): Promise<RestoreResult> {
  await requireEmpty(directory)
  await using pin = await pinForRestore(setId, needs.catalogue)
  await requireRoom(directory, pin.set.contentBytes)
  const lost = AbortSignal.any([signal, pin.lost])
  const reader = await needs.repository.readSet(pin.set, lost)
  const description = JSON.parse(Buffer.from(reader.description).toString('utf8')) as SetDescription
  await prepareTarget(directory)
  try {
    const ofBytes = reader.contentBytes
    const counter = (phase: RestoreProgress['phase']) => {
      let doneBytes = 0
      return (bytes: number) => {
        doneBytes += bytes
        onProgress({ phase, doneBytes, ofBytes })
      }
    }
    await writeTree(reader.entries(lost), directory, lost, counter('restoring'), [MARKER])
    const { files } = await needs.engine.verifyRestored(directory, lost, counter('verifying'), [
      MARKER,
    ])
    await needs.engine.prepareRestored(directory, description.engineState, lost)
    await rm(join(directory, MARKER))
    await syncDirectory(directory)
    return { files, contentBytes: ofBytes, instanceId: pin.set.instanceId, description }
  } catch (error) {
    await emptyFolder(directory)
    throw error
  }
}

interface Pin extends AsyncDisposable {
  readonly set: ReadableSet
  /** Aborts when the pin could not be renewed in time: the bytes may go. */
  readonly lost: AbortSignal
}

async function pinForRestore(setId: BackupSetId, catalogue: Catalogue): Promise<Pin> {
  const holder = randomName(16)
  const set = await catalogue.transaction(async (tx) => {
    const found = await findReadableSet(tx, setId)
    if (found) await pinSet(tx, found, 'restore', holder)
    return found
  })
  if (!set) {
    throw new Fault('not-found', `there is no restorable backup set ${setId}`, {
      hint: 'DescribeBackups lists those there are',
    })
  }
  const lost = new AbortController()
  const done = new AbortController()
  const renewing = (async () => {
    for (;;) {
      await pause(PIN_RENEW_MS, done.signal)
      await catalogue.transaction((tx) => pinSet(tx, set, 'restore', holder))
    }
  })().catch((error: unknown) => {
    if (!done.signal.aborted) lost.abort(error)
  })
  return {
    set,
    lost: lost.signal,
    [Symbol.asyncDispose]: async () => {
      done.abort()
      await renewing
      await catalogue.transaction((tx) => unpinSet(tx, set, holder))
    },
  }
}

async function requireEmpty(directory: string): Promise<void> {
  const names = await namesIn(directory)
  if (names.length === 0 || names.includes(MARKER)) return
  throw new Fault('exists', `${directory} is not empty`, {
    hint: 'name a folder that does not exist yet, or an empty one',
  })
}

async function requireRoom(directory: string, contentBytes: number): Promise<void> {
  let folder = directory
  for (;;) {
    try {
      const { bavail, bsize } = await statfs(folder)
      const free = bavail * bsize
      const needed = contentBytes + SPARE_BYTES
      if (free >= needed) return
      throw new Fault('no-space', `the set needs ${needed} bytes, ${folder} has ${free} free`)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || folder === dirname(folder)) throw error
      folder = dirname(folder)
    }
  }
}

async function prepareTarget(directory: string): Promise<void> {
  await emptyFolder(directory)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await writeFile(join(directory, MARKER), 'A restore began here and did not finish.\n')
}

/** The marker goes last, so that an interrupted removal is still recognised. */
async function emptyFolder(directory: string): Promise<void> {
  for (const name of await namesIn(directory)) {
    if (name !== MARKER) await rm(join(directory, name), { recursive: true, force: true })
  }
  await rm(join(directory, MARKER), { force: true })
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    if (systemCode(error) === 'ENOTDIR') {
      throw new Fault('exists', `${directory} is not a folder`, { cause: error })
    }
    throw error
  }
}
