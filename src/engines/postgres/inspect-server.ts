import { pause } from '../../base/clock.ts'
import { quoteIdentifier } from '../../domain/access.ts'
import type { ServerProblem } from '../../domain/attaching.ts'
import type { Endpoint } from '../engine.ts'
import { serverName } from './inspect-advice.ts'
import { type Lsn, parseLsn } from './lsn.ts'
import {
  NEWEST_VERSION_NUMBER,
  OLDEST_VERSION_NUMBER,
  replicationObstacles,
} from './server-facts.ts'
import { type SqlRow, type SqlSession, withSession } from './sql-session.ts'

/** What one server says of itself. Of versions that are too old only the version is asked for. */
export interface SeenServer {
  readonly version: string
  readonly versionNumber: number
  readonly inRecovery: boolean
  readonly systemIdentifier: string
  readonly timeline: number
  /** Primary: what it has flushed. Standby: what it has received. */
  readonly position: Lsn | null
  readonly streaming: boolean
  /** Tells one server from another, whatever address it was reached by. */
  readonly identity: string
  readonly settings: ReadonlyMap<string, string>
  readonly replicationRole: boolean
  readonly monitorRole: boolean
}

const SETTINGS = ['wal_level', 'max_wal_senders', 'max_replication_slots']
const POLL_MS = 200
const STREAMING_WITHIN_MS = 6000

/** Asked within `timeoutMs` in all. */
export async function askServer(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<SeenServer> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  return withSession(endpoint, timeoutMs, bounded, async (session) => {
    const [about] = await session.query(
      `select current_setting('server_version') as version,
              current_setting('server_version_num') as number`,
    )
    const version = about?.['version'] ?? ''
    const versionNumber = Number(about?.['number'])
    if (!isSupported(versionNumber)) return unsupported(version, versionNumber)
    const [role] = await session.query(
      `select rolsuper or rolreplication as replication,
              pg_has_role(current_user, 'pg_monitor', 'usage') as monitor
         from pg_roles where rolname = current_user`,
    )
    const roles = {
      replicationRole: role?.['replication'] === 't',
      monitorRole: role?.['monitor'] === 't',
    }
    // Whether a standby streams is told to pg_monitor only.
    const state = roles.monitorRole ? settledState(session, signal) : askState(session)
    return { version, versionNumber, ...roles, ...(await state) }
  })
}

/** A standby that has just started, or just lost its primary's stream, takes it up within seconds. */
async function settledState(session: SqlSession, signal: AbortSignal) {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const state = await askState(session)
    if (!state.inRecovery || state.streaming || waitedMs >= STREAMING_WITHIN_MS) return state
    await pause(POLL_MS, signal)
  }
}

async function askState(session: SqlSession) {
  const rows = await session.query(
    'select name, setting from pg_settings where name = any ($1::text[])',
    [SETTINGS],
  )
  const settings = new Map(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']))
  const [row] = await session.query(
    `select pg_is_in_recovery() as standby,
            (select system_identifier from pg_control_system())::text as system,
            case when pg_is_in_recovery() then (select to_hex(received_tli) from pg_stat_wal_receiver)
                 else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline,
            case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
                 else pg_current_wal_flush_lsn() end::text as position,
            (select status from pg_stat_wal_receiver) as receiver,
            concat_ws(' ', extract(epoch from pg_postmaster_start_time()),
              current_setting('port')) as identity`,
  )
  return {
    settings,
    inRecovery: row?.['standby'] === 't',
    systemIdentifier: row?.['system'] ?? '',
    timeline: Number.parseInt(row?.['timeline'] ?? '', 16),
    position: positionOf(row),
    streaming: row?.['receiver'] === 'streaming',
    identity: row?.['identity'] ?? '',
  }
}

function positionOf(row: SqlRow | undefined): Lsn | null {
  const text = row?.['position'] ?? null
  return text === null ? null : parseLsn(text)
}

/** What rules backups of this one server out, whatever the others are. */
export function judgeServer(endpoint: Endpoint, seen: SeenServer): readonly ServerProblem[] {
  const problems: ServerProblem[] = []
  const complain = (problem: string, advice: string) =>
    problems.push({ server: serverName(endpoint), problem, advice })
  if (!isSupported(seen.versionNumber)) {
    complain(
      `PostgreSQL ${seen.version} is not supported`,
      'servers of the versions 15, 16, 17 and 18 can be attached: upgrade it',
    )
    return problems
  }
  judgeRecovery(endpoint, seen, complain)
  for (const { problem, advice } of replicationObstacles(seen.settings)) complain(problem, advice)
  const role = quoteIdentifier(endpoint.user)
  if (!seen.replicationRole) {
    complain(`the role ${role} may not replicate`, `ALTER ROLE ${role} REPLICATION`)
  }
  if (!seen.monitorRole) {
    complain(`the role ${role} may not see the server's state`, `GRANT pg_monitor TO ${role}`)
  }
  return problems
}

type Complain = (problem: string, advice: string) => void

function judgeRecovery(endpoint: Endpoint, seen: SeenServer, complain: Complain): void {
  if (endpoint.role === 'primary' && seen.inRecovery) {
    complain(
      'it is in recovery: a standby was given as the primary',
      'name the primary with --primary, and this server with --standby',
    )
  }
  if (endpoint.role === 'standby' && !seen.inRecovery) {
    complain(
      'it is not in recovery: a primary was given as a standby',
      'name it with --primary, or make it a standby of the primary (standby.signal)',
    )
  }
}

/** Tried with this version. */
export function isSupported(versionNumber: number): boolean {
  return versionNumber >= OLDEST_VERSION_NUMBER && versionNumber < NEWEST_VERSION_NUMBER
}

function unsupported(version: string, versionNumber: number): SeenServer {
  return {
    version,
    versionNumber,
    inRecovery: false,
    systemIdentifier: '',
    timeline: 0,
    position: null,
    streaming: false,
    identity: '',
    settings: new Map(),
    replicationRole: false,
    monitorRole: false,
  }
}
