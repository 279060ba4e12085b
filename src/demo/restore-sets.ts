import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Secret } from '../base/secret.ts'
import { factsOfServer, RestoredServer, type ServerFacts } from './restored-server.ts'
import { withDatabase } from './sql-client.ts'
import { connectionUrl, operate, type Stage } from './stage.ts'
import { checksumTables, type TableChecksum } from './table-checksums.ts'
import type { TakenSet } from './take-sets.ts'

/** Restores every kept set, starts a server on it, compares every table with what it held then. */
export async function restoreSets(
  stage: Stage,
  pair: string,
  kept: readonly TakenSet[],
): Promise<void> {
  const original = await connectionUrl(stage, pair)
  const facts = await withDatabase(original, stage.signal, factsOfServer)
  for (const set of kept) await restoreSet(stage, set, facts, original)
}

async function restoreSet(
  stage: Stage,
  set: TakenSet,
  facts: ServerFacts,
  original: Secret<string>,
): Promise<void> {
  const { report, folder, signal } = stage
  const directory = join(folder.path, `restored-${set.id}`)
  report.progress(`restoring set ${set.id}`)
  const words = ['restore', '--backup-id', set.id, '--target-directory', directory]
  const [summary = ''] = (await operate(stage, words)).split('\n')
  report.line(summary.replace(`${folder.path}/`, ''))
  report.progress(`starting a server on set ${set.id}`)
  {
    await using server = await RestoredServer.start(directory, facts, original, signal)
    const found = await withDatabase(server.url, signal, checksumTables)
    report.check(
      JSON.stringify(found) === JSON.stringify(set.checksums),
      `a server runs on set ${set.id}; every table is as on day ${set.day}: ${describe(found)}`,
    )
  }
  await rm(directory, { recursive: true })
}

function describe(found: readonly TableChecksum[]): string {
  return found
    .map(({ table, rows, checksum }) => `${table} ${rows} rows ${checksum.slice(0, 12)}…`)
    .join(', ')
}
