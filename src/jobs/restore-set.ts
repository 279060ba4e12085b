import { Fault } from '../base/fault.ts'
import type { BackupSetId } from '../base/ids.ts'
import { writeTree } from '../base/tree-writer.ts'
import { lockReadableSet } from '../catalogue/backup-sets.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { hasPins, pinSet } from '../catalogue/pins.ts'
import type { Engine, SetDescription } from '../engines/engine.ts'
import type { Repository } from '../repository/repository.ts'
import { holdPins } from './pins.ts'
import {
  markerIn,
  type PlacedTablespace,
  placeTablespaces,
  type TablespaceMapping,
} from './restore-tablespaces.ts'
import { claimTarget, claimTargets, MARKER } from './restore-target.ts'

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
  /** Those that were put outside the directory. */
  readonly tablespaces: readonly PlacedTablespace[]
  /** What whoever starts the server should know; for people. */
  readonly notes: readonly string[]
}

/** Where a set goes. Tablespaces that are not mapped stay inside the directory. */
export interface RestorePlan {
  readonly directory: string
  readonly tablespaces: TablespaceMapping
}

/**
 * Writes a set into a directory and makes it an independent server: every chunk is checked by its
 * hash, every file against the server's own manifest. The directory, and that of each mapped
 * tablespace, must be absent, empty, or left behind by a restore that died. While it runs the set
 * can be neither deleted nor purged.
 */
export async function restoreSet(
  setId: BackupSetId,
  plan: RestorePlan,
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
  const either = AbortSignal.any([signal, pins.lost])
  const reader = await repository.readSet(set, either)
  const description = JSON.parse(Buffer.from(reader.description).toString('utf8')) as SetDescription
  const { directory } = plan
  const placed = placeTablespaces(plan.tablespaces, description.engineState, directory)
  const lives = (holder: string) => catalogue.transaction((tx) => hasPins(tx, holder))
  await using target = await claimTargets(
    directory,
    placed.map((tablespace) => tablespace.directory),
    set.contentBytes,
    (claimed) => claimTarget(claimed, pins.holder, lives),
  )
  const counter = (phase: RestoreProgress['phase']) => {
    let doneBytes = 0
    return (bytes: number) => {
      doneBytes += bytes
      onProgress({ phase, doneBytes, ofBytes: reader.contentBytes })
    }
  }
  const elsewhere = new Map(placed.map((tablespace) => [tablespace.path, tablespace.directory]))
  const markers = [MARKER, ...placed.map((tablespace) => markerIn(tablespace, MARKER))]
  const entries = reader.entries(either)
  await writeTree(entries, directory, either, counter('restoring'), [MARKER], elsewhere)
  const verified = await engine.verifyRestored(directory, either, counter('verifying'), markers)
  const notes = await engine.prepareRestored(directory, description.engineState, either)
  await target.finish()
  return {
    files: verified.files,
    contentBytes: reader.contentBytes,
    instanceId: set.instanceId,
    description,
    tablespaces: placed,
    notes,
  }
}
