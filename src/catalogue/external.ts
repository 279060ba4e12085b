import pg from 'pg'
import { authority } from '../base/address.ts'
import { pause } from '../base/clock.ts'
import { describeError, Fault, isFault, systemCode } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { isTlsDeclined, tlsFault } from '../base/postgres-tls.ts'
import { NO_TLS } from '../base/tls-settings.ts'
import { type Connection, connectionOptions, type External } from './sql/connection.ts'

/** The first major that everything here is tested with. */
const MAJOR_MIN = 15
/** Any number that nobody else uses for an advisory lock of the database; ASCII for `hold`. */
const START_LOCK = 0x686f_6c64
const LOCK_PAUSE_MS = 200
const SETTING = 'HOLDFAST_DATABASE_URL'

export type ExternalConnection = Connection & { readonly external: External }

/** A start on a catalogue that several processes share: until disposed no other one starts on it. */
export interface SharedStart extends AsyncDisposable {
  /** How the server is spoken to from now on: whether by TLS is settled. */
  readonly connection: ExternalConnection
  /** Whether a service was ever started on it. */
  readonly made: boolean
}

/**
 * Connects to a server that someone else runs, refuses one that cannot hold a catalogue, and waits
 * until no other process is starting: what is made once is then made by one of them. The lock is the
 * connection's, so a killed start leaves none.
 */
export async function beginSharedStart(
  wanted: ExternalConnection,
  log: Logger,
  signal: AbortSignal,
): Promise<SharedStart> {
  const { client, connection } = await connect(wanted)
  // A lost connection is told by the next statement.
  client.on('error', () => {})
  let closed = false
  const close = async () => {
    if (closed) return
    closed = true
    await client.end().catch(() => {
      // It is gone already, and the lock with it.
    })
  }
  try {
    await requireFit(client, connection)
    await lock(client, log, signal)
    const made = await ask<{ made: boolean }>(
      client,
      `select to_regclass('kysely_migration') is not null as made`,
    )
    return { connection, made: made.made, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw isFault(error) ? error : startFault(error, connection)
  }
}

interface Connected {
  readonly client: pg.Client
  readonly connection: ExternalConnection
}

/** With `prefer`, a server that declines TLS is spoken to in plain text, as libpq does. */
async function connect(connection: ExternalConnection): Promise<Connected> {
  try {
    return await connectOnce(connection)
  } catch (error) {
    if (connection.external.tls.mode !== 'prefer' || !isTlsDeclined(error)) {
      throw startFault(error, connection)
    }
  }
  const plain = { ...connection, external: { ...connection.external, tls: NO_TLS } }
  return await connectOnce(plain).catch((error: unknown) => {
    throw startFault(error, plain)
  })
}

async function connectOnce(connection: ExternalConnection): Promise<Connected> {
  const client = new pg.Client(connectionOptions(connection) as pg.ClientConfig)
  try {
    await client.connect()
    return { client, connection }
  } catch (error) {
    // Not awaited: while it connects the package never answers.
    client.end().catch(() => {})
    throw error
  }
}

interface ServerFacts {
  readonly major: number
  readonly encoding: string
  readonly inRecovery: boolean
  readonly mayMakeSchemas: boolean
  readonly mayMakeTables: boolean
  readonly commit: string
  readonly fsync: string
  readonly role: string
  readonly database: string
}

async function requireFit(client: pg.Client, connection: ExternalConnection): Promise<void> {
  const facts = await ask<ServerFacts>(
    client,
    `select current_setting('server_version_num')::int / 10000 as major,
       current_setting('server_encoding') as encoding, pg_is_in_recovery() as "inRecovery",
       has_database_privilege(current_database(), 'CREATE') as "mayMakeSchemas",
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) as "mayMakeTables",
       current_setting('synchronous_commit') as commit, current_setting('fsync') as fsync,
       current_user as role, current_database() as database`,
  )
  const problems = problemsOf(facts)
  if (problems.length === 0) return
  const where = placeOf(connection)
  throw new Fault('unfit', `${where} cannot hold the catalogue: ${problems.join('; ')}`, {
    hint: `change that there, or ${SETTING}`,
  })
}

function problemsOf(facts: ServerFacts): readonly string[] {
  const { role, database } = facts
  const rows: readonly (readonly [wrong: boolean, problem: string])[] = [
    [facts.major < MAJOR_MIN, `it is PostgreSQL ${facts.major}, and ${MAJOR_MIN} is the oldest`],
    [facts.encoding !== 'UTF8', `the database's encoding is ${facts.encoding}, not UTF8`],
    [facts.inRecovery, 'it is a standby: name the primary'],
    [
      !facts.inRecovery && !(facts.mayMakeSchemas && facts.mayMakeTables),
      `${role} may not make schemas and tables in ${database} (let ${role} own the database)`,
    ],
    [facts.commit === 'off', 'synchronous_commit is off: what was answered could be lost'],
    [facts.fsync === 'off', 'fsync is off: a crash would damage it'],
  ]
  return rows.filter(([wrong]) => wrong).map(([, problem]) => problem)
}

async function lock(client: pg.Client, log: Logger, signal: AbortSignal): Promise<void> {
  const query = `select pg_try_advisory_lock(${START_LOCK}) as held`
  for (let tries = 1; !(await ask<{ held: boolean }>(client, query)).held; tries += 1) {
    if (tries === 1) log.info('another process is starting on this catalogue')
    await pause(LOCK_PAUSE_MS, signal)
  }
}

/** The one row of a statement. */
async function ask<Row extends object>(client: pg.Client, text: string): Promise<Row> {
  const { rows } = await client.query<Row>(text)
  const [row] = rows
  if (row === undefined) throw new Error('the statement gives a row')
  return row
}

function placeOf({ host, port, database }: Connection): string {
  return `the PostgreSQL of ${SETTING} (${authority(host, port)}, database ${database})`
}

/** What a person who starts a service can do about it, by SQLSTATE. */
const HINTS: Readonly<Record<string, string>> = {
  '28P01': `check the password in ${SETTING}`,
  '28000': 'let the role in: pg_hba.conf there needs a line for it and for this host',
  '3D000': 'create the database there, owned by the role',
  '53300': 'raise max_connections there: each process uses about twenty',
}

function startFault(error: unknown, connection: ExternalConnection): unknown {
  if (!(error instanceof Error) || isFault(error) || error.name === 'AbortError') return error
  const { host, external } = connection
  const where = placeOf(connection)
  const tls = tlsFault(error, { host, tls: external.tls }, where)
  if (tls !== null) return tls
  const code = systemCode(error) ?? ''
  const refused = /^(28|3D)/.test(code) || error.message.startsWith('SASL')
  return new Fault(refused ? 'denied' : 'transient', `${where}: ${wordsOf(error)}`, {
    cause: error,
    hint:
      HINTS[code] ??
      (refused
        ? `check user and password in ${SETTING}`
        : `check ${SETTING}, and that the server runs and can be reached from here`),
  })
}

/** Of a host with several addresses each is tried, and the error for all of them has no words. */
function wordsOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message
  return error.errors.map(describeError).join('; ')
}
