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
/** A base backup and the log beside it. */
export const WAL_SENDERS_NEEDED = 2
export const RAISE_WAL_SENDERS = 'set max_wal_senders = 10, and restart the server'
export const SET_WAL_LEVEL = 'set wal_level = replica, and restart the server'
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
  const [obstacle] = replicationObstacles(all)
  if (obstacle) throw new Fault('unfit', obstacle.problem, { hint: obstacle.advice })
  const settings: Record<string, string> = {}
  for (const name of [...RECOVERY_SETTINGS, ...NOTED_SETTINGS]) {
    const value = all.get(name)
    if (value !== undefined) settings[name] = value
  }
  return { version, versionNumber, settings }
}

/** A setting that rules backups out, and how to change it. */
interface Obstacle {
  readonly problem: string
  readonly advice: string
}

/**
 * Which settings rule backups out (PostgreSQL manual, "Replication"): a backup needs two connections
 * of the replication kind and a slot, beside what runs already.
 */
export function replicationObstacles(settings: ReadonlyMap<string, string>): readonly Obstacle[] {
  const obstacles: Obstacle[] = []
  if (settings.get('wal_level') === 'minimal') {
    obstacles.push({ problem: 'wal_level is minimal', advice: SET_WAL_LEVEL })
  }
  const senders = settings.get('max_wal_senders')
  if (Number(senders) < WAL_SENDERS_NEEDED) {
    const problem = `max_wal_senders is ${senders}, and a backup needs two`
    obstacles.push({ problem, advice: RAISE_WAL_SENDERS })
  }
  if (Number(settings.get('max_replication_slots')) < 1) {
    const advice = 'set max_replication_slots = 10, and restart the server'
    obstacles.push({ problem: 'max_replication_slots is 0', advice })
  }
  return obstacles
}

/** The database server's own clock. */
export async function databaseNow(session: SqlSession): Promise<Instant> {
  const [row] = await session.query(
    'select floor(extract(epoch from clock_timestamp()) * 1000)::bigint::text as now',
  )
  return instant(Number(row?.['now']))
}
