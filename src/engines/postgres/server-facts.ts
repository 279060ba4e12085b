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
const OLDEST_VERSION_NUMBER = 150_000

export interface ServerFacts {
  readonly version: string
  readonly versionNumber: number
  readonly settings: Readonly<Record<string, string>>
}

export async function readServerFacts(session: SqlSession): Promise<ServerFacts> {
  const rows = await session.query(
    'select name, setting from pg_settings where name = any ($1::text[])',
    [[...RECOVERY_SETTINGS, ...NOTED_SETTINGS, 'server_version', 'server_version_num']],
  )
  const all = new Map(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']))
  const version = all.get('server_version') ?? ''
  const versionNumber = Number(all.get('server_version_num'))
  if (!(versionNumber >= OLDEST_VERSION_NUMBER)) {
    throw new Fault('unfit', `PostgreSQL ${version} is too old: 15 or later is needed`)
  }
  all.delete('server_version')
  all.delete('server_version_num')
  return { version, versionNumber, settings: Object.fromEntries(all) }
}

/** The database server's own clock. */
export async function databaseNow(session: SqlSession): Promise<Instant> {
  const [row] = await session.query(
    'select floor(extract(epoch from clock_timestamp()) * 1000)::bigint::text as now',
  )
  return instant(Number(row?.['now']))
}
