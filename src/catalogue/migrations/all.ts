import type { Kysely } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { Fault } from '../../base/fault.ts'
import type { Schema } from '../sql/connection.ts'
import { initialSchema } from './0001-initial.ts'
import { attachedInstances } from './0002-attached-instances.ts'
import { events } from './0003-events.ts'

/** Forward only, in the order of their names. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-initial': initialSchema,
  '0002-attached-instances': attachedInstances,
  '0003-events': events,
}

/** Brings the schema up to date under Kysely's migration lock; two services at once are safe. */
export async function migrate(kysely: Kysely<Schema>): Promise<void> {
  const migrator = new Migrator({
    db: kysely,
    provider: { getMigrations: async () => MIGRATIONS },
  })
  const { error } = await migrator.migrateToLatest()
  if (error === undefined) return
  const unknown = String(error).includes('corrupted migrations')
  throw new Fault(
    unknown ? 'unfit' : 'corrupt',
    unknown
      ? 'the catalogue was made by a newer version of this service'
      : 'the catalogue could not be brought up to date',
    { cause: error, hint: unknown ? 'run that version, or a later one' : 'see the cause' },
  )
}
