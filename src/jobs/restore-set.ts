import { Fault } from '../base/fault.ts'
import type { BackupSetId } from '../base/ids.ts'
import { writeTree } from '../base/tree-writer.ts'
import { lockReadableSet } from '../catalogue/backup-sets.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { hasPins, pinSet } from '../catalogue/pins.ts'
import type { Engine, SetDescription } from '../engines/engine.ts'
import type { Repository } from '../repository/repository.ts'
import { holdPins } from './pins.ts'
import { claimTarget, MARKER } from './restore-target.ts'

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

/**
 * Writes a set into `directory` and makes it an independent server: every chunk is checked by its
 * hash, every file against the server's own manifest. The directory must be absent, empty, or left
 * behind by a restore that died. While it runs the set can be neither deleted nor purged.
 */
export async function restoreSet(
  setId: BackupSetId,
  directory: string,
  needs: Needs,
  signal: AbortSignal,
  onProgress: (progress: RestoreProgress) => void,
): Promise<RestoreResult> {
  const { catalogue, repository, engine } = needs
  const held = await holdPins(catalogue, async (tx, holder) => {
    const set = await lockReadableSet(tx, setId)
    if (set) await pinSet(tx, set, 'restore', holder)
    return set
  })
  await using pins = held.pins
  const set = held.value
  if (!set) {
    throw new Fault('not-found', `there is no restorable backup set ${setId}`, {
      hint: 'DescribeBackups lists those there are',
    })
  }
  const lives = (holder: string) => catalogue.transaction((tx) => hasPins(tx, holder))
  await using target = await claimTarget(directory, pins.holder, set.contentBytes, lives)
  const either = AbortSignal.any([signal, pins.lost])
  const reader = await repository.readSet(set, either)
  const description = JSON.parse(Buffer.from(reader.description).toString('utf8')) as SetDescription
  const counter = (phase: RestoreProgress['phase']) => {
    let doneBytes = 0
    return (bytes: number) => {
      doneBytes += bytes
      onProgress({ phase, doneBytes, ofBytes: reader.contentBytes })
    }
  }
  const entries = reader.entries(either)
  await writeTree(entries, directory, either, counter('restoring'), [MARKER])
  const verified = await engine.verifyRestored(directory, either, counter('verifying'), [MARKER])
  await engine.prepareRestored(directory, description.engineState, either)
  await target.finish()
  return {
    files: verified.files,
    contentBytes: reader.contentBytes,
    instanceId: set.instanceId,
    description,
  }
}
