import { HOUR_MS, MINUTE_MS } from '../../base/clock.ts'
import type { SqlSession } from './sql-session.ts'

/** How long a server may send nothing while we wait for it. */
export interface StreamLimits {
  /** Before the first byte: it makes a checkpoint and measures its files. */
  readonly beginMs: number
  /** Between two pieces of data or log. */
  readonly silenceMs: number
}

const SILENCE_MS = 10 * MINUTE_MS

/**
 * A spread checkpoint takes up to `checkpoint_timeout`, after the one that may be running already;
 * one at full speed takes as long as the disks need for what is dirty. Nothing is sent meanwhile.
 */
export async function readStreamLimits(session: SqlSession): Promise<StreamLimits> {
  const [row] = await session.query(
    `select extract(epoch from current_setting('checkpoint_timeout')::interval)::int::text as seconds`,
  )
  const checkpointMs = Number(row?.['seconds']) * 1000
  return { beginMs: Math.max(HOUR_MS, 2 * checkpointMs + SILENCE_MS), silenceMs: SILENCE_MS }
}

/**
 * Whether a stream named `applicationName` could be taken for a synchronous standby (PostgreSQL
 * manual, "Replication", synchronous_standby_names). Commits would then wait for us, and count as
 * safe though our copy of the log is a temporary one.
 */
export async function mayCountAsStandby(
  session: SqlSession,
  applicationName: string,
): Promise<boolean> {
  const [row] = await session.query(`select current_setting('synchronous_standby_names') as names`)
  const names = row?.['names'] ?? ''
  return names.includes('*') || names.toLowerCase().includes(applicationName)
}
