import { type Instant, instant } from '../../base/clock.ts'
import { Fault } from '../../base/fault.ts'
import type { SqlSession } from './sql-session.ts'

/**
 * Settings that recovery needs to be at least as large as they were (PostgreSQL manual, "Hot
 * Standby", "Administrator's Overview").
 */
export const RECOVERY_SETTINGS = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
] as const

const NOTED_SETTINGS = [
  'lc_collate',
  'lc_ctype',
  'lc_messages',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'server_encoding',
  'shared_preload_libraries',
] as const

/** The oldest server whose BASE_BACKUP has the grammar in use here. */
export const OLDEST_VERSION_NUMBER = 150_000
/** The first one that nobody has tried. */
export const NEWEST_VERSION_NUMBER = 190_000
const WAL_SENDERS_NEEDED = 2
const ASKED_SETTINGS = [
  'server_version',
  'server_version_num',
  'wal_level',
  'max_replication_slots',
]

export interface ServerFacts {
  readonly version: string
  readonly versionNumber: number
  readonly settings: Readonly<Record<string, string>>
}

export async function readServerFacts(session: SqlSession): Promise<ServerFacts> {
  const rows = await session.query(
    'select name, setting from pg_settings where name = any ($1::text[])',
    [[...RECOVERY_SETTINGS, ...NOTED_SETTINGS, ...ASKED_SETTINGS]],
  )
  const all = new Map(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']))
  const version = all.get('server_version') ?? ''
  const versionNumber = Number(all.get('server_version_num'))
  if (!(versionNumber >= OLDEST_VERSION_NUMBER)) {
    throw new Fault('unfit', `PostgreSQL ${version} is too old: 15 or later is needed`)
  }
  requireReplication(all)
  const settings: Record<string, string> = {}
  for (const name of [...RECOVERY_SETTINGS, ...NOTED_SETTINGS]) {
    const value = all.get(name)
    if (value !== undefined) settings[name] = value
  }
  return { version, versionNumber, settings }
}

/** A backup needs two connections of the replication kind and a slot, beside what runs already. */
function requireReplication(settings: ReadonlyMap<string, string>): void {
  if (settings.get('wal_level') === 'minimal') {
    throw new Fault('unfit', 'wal_level is minimal', { hint: 'set wal_level = replica' })
  }
  if (Number(settings.get('max_wal_senders')) < WAL_SENDERS_NEEDED) {
    throw new Fault('unfit', 'max_wal_senders is less than 2', { hint: 'set max_wal_senders = 10' })
  }
  if (Number(settings.get('max_replication_slots')) < 1) {
    throw new Fault('unfit', 'max_replication_slots is 0', {
      hint: 'set max_replication_slots = 10',
    })
  }
}

/** The database server's own clock. */
export async function databaseNow(session: SqlSession): Promise<Instant> {
  const [row] = await session.query(
    'select floor(extract(epoch from clock_timestamp()) * 1000)::bigint::text as now',
  )
  return instant(Number(row?.['now']))
}
