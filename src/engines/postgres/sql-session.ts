import type pg from 'pg'
import { waitAtMost } from '../../base/clock.ts'
import type { Endpoint } from '../engine.ts'
import { connectClient } from './server-client.ts'
import { clientFault } from './server-fault.ts'

/** Values come back as text, so that 64-bit numbers and LSNs stay exact. */
export type SqlRow = Readonly<Record<string, string | null>>

/** A connection for SQL; every statement is bounded by the session's timeout. */
export interface SqlSession {
  query(text: string, values?: readonly unknown[]): Promise<readonly SqlRow[]>
}

const CONNECT_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 3000
/** A server that stops between its last answer and the goodbye would hold us up for good. */
const GOODBYE_MS = 3000

const AS_TEXT = {
  getTypeParser: () => (value: unknown) => value,
} as unknown as pg.CustomTypesConfig

/** Opens a session, runs `work` and closes it, whatever happens; an abort cuts the connection. */
export async function withSession<T>(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
  work: (session: SqlSession) => Promise<T>,
): Promise<T> {
  const { client, stream, cut } = await connectClient(
    endpoint,
    {
      database: endpoint.database,
      application_name: 'holdfast',
      connectionTimeoutMillis: Math.min(timeoutMs, CONNECT_TIMEOUT_MS),
      query_timeout: timeoutMs,
      statement_timeout: timeoutMs,
      lock_timeout: LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: timeoutMs,
      options: '-c default_transaction_read_only=on',
      types: AS_TEXT,
    },
    'cannot connect',
    signal,
  )
  try {
    return await work({
      query: async (text, values) => (await client.query(text, values ? [...values] : [])).rows,
    })
  } catch (error) {
    signal.throwIfAborted()
    throw clientFault(error, endpoint, 'cannot ask')
  } finally {
    // What matters has been answered; a connection that cannot be closed in order is lost anyway.
    if (!stream.destroyed) await waitAtMost(client.end(), GOODBYE_MS)
    cut()
  }
}
