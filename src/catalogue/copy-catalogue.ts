import pg from 'pg'
import { Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { migrateTo, migrationsOf } from './migrations/all.ts'
import { type Connection, connectionOptions, openKysely, openPool } from './sql/connection.ts'

/** Rows that are read and written at once; none is larger than some tens of kB. */
const BATCH_ROWS = 500

/** So that both servers write values the same way, and read them without loss. */
const SESSION = `set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres';
  set bytea_output = 'hex'; set extra_float_digits = 3; set search_path = 'public'`

/** Made anew by the service that starts next: the queue, and what migrations record. */
const TABLES = `select c.oid::regclass::text as name from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
    and c.relname not like 'kysely\\_%' order by 1`
const SEQUENCES = `select c.oid::regclass::text as name from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'S' order by 1`

/**
 * Copies a catalogue to a new, empty one on another server, all or nothing: the schema as the
 * migrations that the old one had make it, every row, where the identities go on; then compares both,
 * table by table. The old one is only read. The queue is not copied: the next start makes it and
 * sends it the jobs that have not ended. A catalogue that this code does not know is a Fault `unfit`,
 * a difference a Fault `corrupt`.
 */
export async function copyCatalogue(
  from: Connection,
  to: Connection,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const migrations = await readMigrations(from, log)
  await applyMigrations(to, migrations, log)
  await using source = await openClient(from)
  await using target = await openClient(to)
  await source.client.query('begin isolation level repeatable read read only')
  await target.client.query('begin')
  // The rows are consistent as they are: references need not be checked in any order.
  await target.client.query(`set local session_replication_role = 'replica'`)
  const tables = await namesOf(source.client, TABLES)
  requireSame('tables', tables, await namesOf(target.client, TABLES))
  for (const table of tables) {
    signal.throwIfAborted()
    await copyTable(source.client, target.client, table, signal)
    const query = fingerprintOf(table)
    requireSame(table, await ask(source.client, query), await ask(target.client, query))
  }
  await copySequences(source.client, target.client)
  await target.client.query('commit')
  await target.client.query('vacuum analyze')
  log.info('catalogue copied', { tables: tables.length })
}

async function readMigrations(connection: Connection, log: Logger): Promise<readonly string[]> {
  const kysely = openKysely(openPool(connection, (error) => lost(log, error)))
  try {
    return await migrationsOf(kysely)
  } finally {
    await kysely.destroy()
  }
}

async function applyMigrations(
  connection: Connection,
  migrations: readonly string[],
  log: Logger,
): Promise<void> {
  const kysely = openKysely(openPool(connection, (error) => lost(log, error)))
  try {
    await migrateTo(kysely, migrations)
  } finally {
    await kysely.destroy()
  }
}

function lost(log: Logger, error: Error): void {
  log.warn('catalogue connection lost', { error: error.message })
}

interface OpenClient extends AsyncDisposable {
  readonly client: pg.Client
}

async function openClient(connection: Connection): Promise<OpenClient> {
  // Values stay the text that the server sends: nothing is rounded on the way.
  const types = { getTypeParser: () => (text: string | Buffer) => String(text) }
  const client = new pg.Client({ ...connectionOptions(connection), types } as pg.ClientConfig)
  // The statement that runs when the connection breaks is rejected as well.
  client.on('error', () => {})
  await client.connect()
  await client.query(SESSION)
  return { client, [Symbol.asyncDispose]: () => client.end() }
}

async function copyTable(
  source: pg.Client,
  target: pg.Client,
  table: string,
  signal: AbortSignal,
): Promise<void> {
  await source.query(`declare lines no scroll cursor for select t::text as line from ${table} t`)
  for (;;) {
    signal.throwIfAborted()
    const { rows } = await source.query<{ line: string }>(`fetch ${BATCH_ROWS} from lines`)
    if (rows.length === 0) break
    await target.query(
      `insert into ${table} overriding system value
         select (l.line).* from (select unnest($1::text[])::${table} as line) l`,
      [rows.map(({ line }) => line)],
    )
  }
  await source.query('close lines')
}

/** Of all rows in any order: how many there are, and the sum of 60 bits of each one's MD5. */
function fingerprintOf(table: string): string {
  return `select count(*) as rows,
    coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint), 0) as sum from ${table} t`
}

async function copySequences(source: pg.Client, target: pg.Client): Promise<void> {
  const sequences = await namesOf(source, SEQUENCES)
  requireSame('sequences', sequences, await namesOf(target, SEQUENCES))
  for (const sequence of sequences) {
    const query = `select last_value, is_called from ${sequence}`
    const [state] = await ask(source, query)
    await target.query('select setval($1::regclass, $2::bigint, $3::boolean)', [
      sequence,
      state?.['last_value'],
      state?.['is_called'],
    ])
    requireSame(sequence, [state], await ask(target, query))
  }
}

async function namesOf(client: pg.Client, query: string): Promise<readonly string[]> {
  return (await ask(client, query)).map((row) => row['name'] ?? '')
}

async function ask(client: pg.Client, query: string): Promise<Record<string, string>[]> {
  return (await client.query<Record<string, string>>(query)).rows
}

function requireSame(what: string, old: unknown, copied: unknown): void {
  const [before, after] = [JSON.stringify(old), JSON.stringify(copied)]
  if (before === after) return
  throw new Fault('corrupt', `the copied catalogue differs in ${what}: ${before} became ${after}`, {
    hint: 'the old catalogue is unchanged; please report this',
  })
}
