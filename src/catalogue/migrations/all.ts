import { type Kysely, sql } from 'kysely'
import { type Migration, type MigrationResultSet, Migrator } from 'kysely/migration'
import { Fault } from '../../base/fault.ts'
import type { Schema } from '../sql/connection.ts'
import { initialSchema } from './0001-initial.ts'
import { attachedInstances } from './0002-attached-instances.ts'
import { events } from './0003-events.ts'
import { deletion } from './0004-deletion.ts'
import { receipts } from './0005-receipts.ts'
import { cheaperDeletion } from './0006-cheaper-deletion.ts'

/** Forward only, in the order of their names. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-initial': initialSchema,
  '0002-attached-instances': attachedInstances,
  '0003-events': events,
  '0004-deletion': deletion,
  '0005-receipts': receipts,
  '0006-cheaper-deletion': cheaperDeletion,
}

/** Brings the schema up to date under Kysely's migration lock; two services at once are safe. */
export async function migrate(kysely: Kysely<Schema>): Promise<void> {
  requireDone(await migratorOf(kysely).migrateToLatest())
}

/** Makes the schema of an empty database as these migrations, the first ones, make it. */
export async function migrateTo(kysely: Kysely<Schema>, names: readonly string[]): Promise<void> {
  const last = names.at(-1)
  if (last !== undefined) requireDone(await migratorOf(kysely).migrateTo(last))
}

/** The migrations that a catalogue has had; a Fault `unfit` when this code does not know them all. */
export async function migrationsOf(kysely: Kysely<Schema>): Promise<readonly string[]> {
  const made = await sql<{ there: boolean }>`
    select to_regclass('kysely_migration') is not null as there`.execute(kysely)
  if (made.rows[0]?.there !== true) return []
  const { rows } = await sql<{ name: string }>`
    select name from kysely_migration order by name`.execute(kysely)
  const names = rows.map(({ name }) => name)
  const known = Object.keys(MIGRATIONS)
  if (names.every((name, index) => name === known[index])) return names
  throw newerFault(null)
}

function migratorOf(kysely: Kysely<Schema>): Migrator {
  return new Migrator({ db: kysely, provider: { getMigrations: async () => MIGRATIONS } })
}

function requireDone({ error }: MigrationResultSet): void {
  if (error === undefined) return
  if (String(error).includes('corrupted migrations')) throw newerFault(error)
  throw new Fault('corrupt', 'the catalogue could not be brought up to date', {
    cause: error,
    hint: 'see the cause',
  })
}

function newerFault(cause: unknown): Fault {
  return new Fault('unfit', 'the catalogue was made by a newer version of this service', {
    cause: cause ?? undefined,
    hint: 'run that version, or a later one',
  })
}
