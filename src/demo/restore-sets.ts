import { join } from 'node:path'
import type { Secret } from '../base/secret.ts'
import { factsOfServer, RestoredServer, type ServerFacts } from './restored-server.ts'
import { withDatabase } from './sql-client.ts'
import { type Instances, operate, type Stage } from './stage.ts'
import { checksumTables, type TableChecksum } from './table-checksums.ts'
import type { TakenSet } from './take-sets.ts'

interface Restored {
  readonly set: TakenSet
  readonly directory: string
  readonly summary: string
}

/** Restores every kept set, starts a server on it, compares every table with what it held then. */
export async function restoreSets(
  stage: Stage,
  { url }: Instances,
  kept: readonly TakenSet[],
): Promise<void> {
  const { report, signal } = stage
  const facts = await withDatabase(url, signal, factsOfServer)
  report.progress(`restoring ${kept.length} sets`)
  for (const restored of await Promise.all(kept.map((set) => restoreSet(stage, set)))) {
    report.line(restored.summary)
    await checkRestored(stage, restored, facts, url)
  }
}

async function restoreSet(stage: Stage, set: TakenSet): Promise<Restored> {
  const directory = join(stage.folder.path, `restored-${set.id}`)
  const words = ['restore', '--backup-id', set.id, '--target-directory', directory]
  const [summary = ''] = (await operate(stage, words)).split('\n')
  return { set, directory, summary: summary.replace(`${stage.folder.path}/`, '') }
}

async function checkRestored(
  { report, signal }: Stage,
  { set, directory }: Restored,
  facts: ServerFacts,
  original: Secret<string>,
): Promise<void> {
  report.progress(`starting a server on set ${set.id}`)
  await using server = await RestoredServer.start(directory, facts, original, signal)
  const found = await withDatabase(server.url, signal, checksumTables)
  report.check(
    JSON.stringify(found) === JSON.stringify(set.checksums),
    `a server runs on set ${set.id}; every table is as on day ${set.day}: ${describe(found)}`,
  )
}

function describe(found: readonly TableChecksum[]): string {
  return found
    .map(({ table, rows, checksum }) => `${table} ${rows} rows ${checksum.slice(0, 12)}…`)
    .join(', ')
}
