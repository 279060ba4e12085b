import { createHash } from 'node:crypto'
import { Kysely, type Transaction as KyselyTransaction, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { invariant } from '../../base/fault.ts'
import { tlsOptions } from '../../base/postgres-tls.ts'
import type { Secret } from '../../base/secret.ts'
import type { TlsSettings } from '../../base/tls-settings.ts'

/** Where the catalogue's server is. `host` is a folder (Unix socket) or a name. */
export interface Connection {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: Secret<string>
  /** Of a server that someone else runs. */
  readonly external?: External
}

/** How a server that someone else runs is spoken to. */
export interface External {
  readonly tls: TlsSettings
  /** Settings of each session besides ours, which they win over, as libpq's `options` has them. */
  readonly options: string
  readonly connectTimeoutMs: number
}

/**
 * What the catalogue's own server has by its configuration, and what a role or a database of someone
 * else's may have otherwise: decisions of microseconds without the compiler, READ COMMITTED, no timeout.
 */
const SESSION = [
  ...['jit=off', 'default_transaction_isolation=read\\ committed', 'timezone=UTC', 'datestyle=ISO'],
  ...['statement_timeout=0', 'lock_timeout=0', 'idle_session_timeout=0'],
  'idle_in_transaction_session_timeout=0',
]
/** Before the kernel asks an idle connection whether its other end is still there. */
const KEEP_ALIVE_MS = 10_000

/** Queries read as SQL through Kysely's `sql` tag; each one names the type of its rows. */
export type Schema = Record<string, never>

export type Sql = KyselyTransaction<Schema>

/** bigint columns hold bytes, milliseconds and ids: all below 2⁵³, checked on the way in. */
function parseBigint(text: string): number {
  const value = Number(text)
  invariant(Number.isSafeInteger(value), `a bigint of the catalogue fits a number: ${text}`)
  return value
}

const INT8_OID = 20
const INT8_ARRAY_OID = 1016

/** Text of a `bigint[]` without nulls: `{1,2}`. */
function parseBigints(text: string): readonly number[] {
  return text === '{}' ? [] : text.slice(1, -1).split(',').map(parseBigint)
}

type Parser = (text: string) => unknown

const PARSERS: ReadonlyMap<number, Parser> = new Map<number, Parser>([
  [INT8_OID, parseBigint],
  [INT8_ARRAY_OID, parseBigints],
])

export function connectionOptions(connection: Connection): pg.PoolConfig {
  return {
    host: connection.host,
    port: connection.port,
    database: connection.database,
    user: connection.user,
    password: connection.password.reveal(),
    application_name: 'holdfast',
    ...(connection.external && externalOptions(connection.host, connection.external)),
  }
}

function externalOptions(host: string, external: External): pg.PoolConfig {
  const { tls, options, connectTimeoutMs } = external
  const session = SESSION.map((setting) => `-c ${setting}`)
  return {
    ssl: tlsOptions({ host, tls }) ?? false,
    options: [...session, options].join(' ').trim(),
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
  }
}

export function openPool(connection: Connection, onError: (error: Error) => void): pg.Pool {
  const types: pg.CustomTypesConfig = {
    getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
      (format !== 'binary' && PARSERS.get(oid)) ||
      pg.types.getTypeParser(oid, format as 'text')) as pg.CustomTypesConfig['getTypeParser'],
  }
  const pool = new pg.Pool({ ...connectionOptions(connection), max: 12, types })
  // An idle connection that dies (the server restarts) must not end the process.
  pool.on('error', onError)
  // Nor must one in use: its statement is rejected as well, and its user hears of it there.
  pool.on('connect', (client) => {
    client.on('error', () => {})
    prepareMarked(client)
  })
  return pool
}

const PLANNED_ONCE = '/* planned once */'

/**
 * Begins a statement that each connection prepares the first time: planning it takes longer than
 * running it. Its text must not vary but with what is fixed in the code.
 */
export const plannedOnce = sql.raw(PLANNED_ONCE)

/** Kysely has no names for statements, so those that are marked get theirs here, from their text. */
function prepareMarked(client: pg.ClientBase): void {
  const names = new Map<string, string>()
  const query = client.query.bind(client) as (...given: unknown[]) => unknown
  const naming = (text: unknown, values: unknown, ...rest: unknown[]) => {
    if (typeof text !== 'string' || !text.trimStart().startsWith(PLANNED_ONCE)) {
      return query(text, values, ...rest)
    }
    const name = names.get(text) ?? createHash('sha256').update(text).digest('hex').slice(0, 32)
    names.set(text, name)
    return query({ name, text, values }, ...rest)
  }
  client.query = naming as typeof client.query
}

export function openKysely(pool: pg.Pool): Kysely<Schema> {
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
}
