import { MINUTE_MS, pause } from '../../base/clock.ts'
import { describeError, Fault, isFault } from '../../base/fault.ts'
import type { Endpoint, Source } from '../engine.ts'
import { type Lsn, laterLsn, parseLsn } from './lsn.ts'
import { type SqlSession, withSession } from './sql-session.ts'

/** What the primary was when the backup was asked for. */
export interface PrimaryFacts {
  readonly systemIdentifier: string
  readonly timeline: number
  /** Everything committed before the backup was asked for lies before it. */
  readonly flushed: Lsn
  /** False: no standby can be backed up, because its pages could be torn. */
  readonly fullPageWrites: boolean
}

export interface ChosenSource {
  readonly endpoint: Endpoint
  readonly primary: PrimaryFacts
  /** Why a standby was passed over; for people. */
  readonly findings: readonly string[]
}

const ASK_TIMEOUT_MS = 3000
const CATCH_UP_MS = 10_000
const POLL_MS = 100
/** A checkpoint writes all that is dirty; on a large server that takes minutes. */
const CHECKPOINT_TIMEOUT_MS = 15 * MINUTE_MS

/** The primary of a source; a source without exactly one is unfit. */
export function primaryOf(source: Source): Endpoint {
  const primaries = source.endpoints.filter(({ role }) => role === 'primary')
  const [primary] = primaries
  if (!primary || primaries.length > 1) {
    throw new Fault('unfit', `an instance has one primary, this one ${primaries.length}`)
  }
  return primary
}

/**
 * The first standby that follows this very primary and has replayed, within ten seconds, all that
 * the primary had flushed; else the primary. A primary that does not answer is a Fault even when a
 * standby does: the instance is not running then. `checkpoint`: whether the primary may be told to
 * make one at full speed.
 */
export async function chooseSource(
  source: Source,
  checkpoint: 'fast' | 'spread',
  signal: AbortSignal,
): Promise<ChosenSource> {
  const primaryEndpoint = primaryOf(source)
  let primary = await askPrimary(primaryEndpoint, signal)
  const standbys = source.endpoints.filter(({ role }) => role === 'standby')
  if (standbys.length > 0 && !primary.fullPageWrites) {
    const finding = 'the primary has full_page_writes = off, so that standbys cannot be backed up'
    return { endpoint: primaryEndpoint, primary, findings: [finding] }
  }
  if (standbys.length > 0 && checkpoint === 'fast') {
    await forceCheckpoint(primaryEndpoint, signal)
    primary = await askPrimary(primaryEndpoint, signal)
  }
  const findings: string[] = []
  for (const endpoint of standbys) {
    const finding = await judgeStandby(endpoint, primary, signal)
    if (finding === null) return { endpoint, primary, findings }
    findings.push(finding)
  }
  return { endpoint: primaryEndpoint, primary, findings }
}

/**
 * A backup of a standby starts at its last restartpoint, which is never newer than the primary's last
 * checkpoint: without a fresh one, changes reach the set as WAL and not in their pages, where they
 * could be shared with other sets. A role that may not ask for one (`pg_checkpoint`) does without.
 */
async function forceCheckpoint(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
  try {
    await withSession(endpoint, CHECKPOINT_TIMEOUT_MS, signal, (session) =>
      session.query('checkpoint'),
    )
  } catch (error) {
    signal.throwIfAborted()
    // Whatever else is wrong with the primary, the questions that follow tell it.
    if (!isFault(error)) throw error
  }
}

async function askPrimary(endpoint: Endpoint, signal: AbortSignal): Promise<PrimaryFacts> {
  try {
    return await withSession(endpoint, ASK_TIMEOUT_MS, signal, primaryFacts)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Fault && error.kind !== 'transient') throw error
    throw new Fault('transient', `the primary ${endpoint.node} does not answer`, { cause: error })
  }
}

/** Refuses a server in recovery: it is no primary, whatever the instance calls it. */
export async function primaryFacts(session: SqlSession): Promise<PrimaryFacts> {
  const [recovery] = await session.query('select pg_is_in_recovery() as standby')
  if (recovery?.['standby'] !== 'f') {
    throw new Fault('unfit', 'the server given as primary is in recovery', {
      hint: 'the roles have changed, or the server is still starting',
    })
  }
  const [row] = await session.query(
    `select (select system_identifier from pg_control_system())::text as system,
            pg_current_wal_flush_lsn()::text as flushed,
            current_setting('full_page_writes') as full_pages,
            pg_walfile_name(pg_current_wal_lsn()) as segment`,
  )
  return {
    systemIdentifier: row?.['system'] ?? '',
    timeline: Number.parseInt(row?.['segment']?.slice(0, 8) ?? '', 16),
    flushed: parseLsn(row?.['flushed'] ?? ''),
    fullPageWrites: row?.['full_pages'] === 'on',
  }
}

/** Null when the standby can be read from, else why it cannot. `catchUpMs` null: lag does not count. */
export async function judgeStandby(
  endpoint: Endpoint,
  primary: PrimaryFacts,
  signal: AbortSignal,
  catchUpMs: number | null = CATCH_UP_MS,
): Promise<string | null> {
  try {
    return await withSession(endpoint, ASK_TIMEOUT_MS, signal, async (session) => {
      const obstacle = await standbyObstacle(session, primary)
      if (obstacle !== null) return `standby ${endpoint.node}: ${obstacle}`
      if (catchUpMs === null || (await catchesUp(session, primary.flushed, catchUpMs, signal)))
        return null
      return `standby ${endpoint.node}: has not replayed what the primary had written`
    })
  } catch (error) {
    signal.throwIfAborted()
    return `standby ${endpoint.node}: ${describeError(error)}`
  }
}

async function standbyObstacle(session: SqlSession, primary: PrimaryFacts): Promise<string | null> {
  const [row] = await session.query(
    `select pg_is_in_recovery() as standby, r.status, r.received_tli::text as timeline,
            (select system_identifier from pg_control_system())::text as system
       from (values (1)) as one left join pg_stat_wal_receiver r on true`,
  )
  if (row?.['standby'] !== 't') return 'is not in recovery'
  if (row['system'] !== primary.systemIdentifier) return 'belongs to another cluster'
  if (row['status'] !== 'streaming') return 'does not stream from its primary'
  if (Number(row['timeline']) !== primary.timeline) return "is not on the primary's timeline"
  return null
}

async function catchesUp(
  session: SqlSession,
  target: Lsn,
  catchUpMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const replayed = await replayedLsn(session)
    if (replayed !== null && laterLsn(replayed, target) === replayed) return true
    if (waitedMs >= catchUpMs) return false
    await pause(POLL_MS, signal)
  }
}

/** Null on a server that has replayed nothing. */
export async function replayedLsn(session: SqlSession): Promise<Lsn | null> {
  const [row] = await session.query('select pg_last_wal_replay_lsn()::text as replayed')
  const text = row?.['replayed'] ?? null
  return text === null ? null : parseLsn(text)
}
