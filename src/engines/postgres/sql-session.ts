import { Socket } from 'node:net'
import pg from 'pg'
import type { Endpoint } from '../engine.ts'
import { clientFault } from './server-fault.ts'

/** Values come back as text, so that 64-bit numbers and LSNs stay exact. */
export type SqlRow = Readonly<Record<string, string | null>>

/** A connection for SQL; every statement is bounded by the session's timeout. */
export interface SqlSession {
  query(text: string, values?: readonly unknown[]): Promise<readonly SqlRow[]>
}

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
  signal.throwIfAborted()
  const socket = new Socket()
  const client = new pg.Client({
    stream: () => socket,
    host: endpoint.host,
    port: endpoint.port,
    user: endpoint.user,
    password: endpoint.password.reveal(),
    database: 'postgres',
    application_name: 'holdfast',
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    statement_timeout: timeoutMs,
    types: AS_TEXT,
  })
  // A lost connection is reported by the statement that runs, or by the next one.
  client.on('error', () => undefined)
  // Not `client.end()`: while it connects the package would then never answer.
  const cut = () => socket.destroy()
  signal.addEventListener('abort', cut, { once: true })
  try {
    await client.connect()
    return await work({
      query: async (text, values) => (await client.query(text, values ? [...values] : [])).rows,
    })
  } catch (error) {
    signal.throwIfAborted()
    throw clientFault(error, endpoint, 'cannot ask')
  } finally {
    signal.removeEventListener('abort', cut)
    // What matters has been answered; a connection that cannot be closed in order is lost anyway.
    if (!socket.destroyed) await client.end().catch(() => undefined)
    socket.destroy()
  }
}
