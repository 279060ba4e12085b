import assert from 'node:assert/strict'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { pause } from '../base/clock.ts'
import { isFault } from '../base/fault.ts'
import { type Logger, SILENT } from '../base/logger.ts'
import { Secret } from '../base/secret.ts'
import { NO_TLS } from '../base/tls-settings.ts'
import { giveToUser } from '../servers/server-user.ts'
import { createAuthority } from '../testing/certificates.ts'
import { CatalogueDatabase } from '../testing/service-cluster.ts'
import { type Catalogue, openCatalogue, sqlOf, type Transaction } from './database.ts'
import { beginSharedStart, type ExternalConnection } from './external.ts'

let database: CatalogueDatabase
let catalogue: Catalogue
const { signal } = new AbortController()

before(async () => {
  database = await CatalogueDatabase.open()
  await using start = await beginSharedStart(connection(), SILENT, signal)
  assert.equal(start.made, false)
  catalogue = await openCatalogue(start.connection, SILENT)
})

after(async () => {
  await catalogue?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
})

function connection(
  changed: Partial<ExternalConnection> = {},
  external: Partial<ExternalConnection['external']> = {},
): ExternalConnection {
  const url = new URL(database.url())
  return {
    host: url.hostname,
    port: Number(url.port),
    database: url.pathname.slice(1),
    user: url.username,
    password: new Secret(decodeURIComponent(url.password)),
    ...changed,
    external: {
      tls: { ...NO_TLS, mode: 'prefer' },
      options: '',
      connectTimeoutMs: 5_000,
      ...external,
    },
  }
}

async function ask(tx: Transaction, text: string): Promise<unknown> {
  const { rows } = await sql.raw<{ value: unknown }>(text).execute(sqlOf(tx))
  return rows[0]?.value
}

test('sessions are as the catalogue needs them, whatever the server has, and as the URL adds', async () => {
  const added = connection({}, { options: '-c work_mem=5MB' })
  await using other = await openCatalogue(
    { ...added, external: { ...added.external, tls: NO_TLS } },
    SILENT,
  )
  const settings = await other.transaction((tx) =>
    ask(
      tx,
      `select string_agg(current_setting(name), ' ' order by place) as value from unnest(array[
        'transaction_isolation', 'timezone', 'jit', 'statement_timeout', 'work_mem'])
        with ordinality as wanted (name, place)`,
    ),
  )
  assert.equal(settings, 'read committed UTC off 0 5MB')
})

test('starts follow one another, and a killed one keeps nobody out', async () => {
  const order: string[] = []
  let waited = Promise.withResolvers<void>()
  const log: Logger = { ...SILENT, info: () => waited.resolve() }
  const first = await beginSharedStart(connection(), SILENT, signal)
  const second = beginSharedStart(connection(), log, signal)
  const waiting = second.then(() => order.push('second'))
  await waited.promise
  order.push('first ends')
  await first[Symbol.asyncDispose]()
  await waiting
  assert.deepEqual(order, ['first ends', 'second'])
  assert.equal((await second).made, true)
  waited = Promise.withResolvers<void>()
  const third = beginSharedStart(connection(), log, signal)
  await waited.promise
  await database.ask(
    `select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and granted`,
  )
  await (await third)[Symbol.asyncDispose]()
  await (await second)[Symbol.asyncDispose]()
})

test('a start that waits can be stopped', async () => {
  await using _first = await beginSharedStart(connection(), SILENT, signal)
  const stopping = new AbortController()
  const second = beginSharedStart(connection(), SILENT, stopping.signal)
  await Promise.race([second, pause(300)])
  stopping.abort()
  await assert.rejects(second, { name: 'AbortError' })
})

for (const [what, changed, words, hint] of [
  [
    'a wrong password',
    { password: new Secret('wrong') },
    /password authentication failed/,
    /password/,
  ],
  ['no password', { password: new Secret('') }, /password/, /password/],
  [
    'a database that is not there',
    { database: 'nothing' },
    /does not exist/,
    /create the database/,
  ],
  ['a server that is not there', { port: 1 }, /ECONNREFUSED/, /can be reached/],
  ['a name that nobody has', { host: 'nowhere.invalid' }, /nowhere\.invalid/, /can be reached/],
] as const) {
  test(`${what} is told with what mends it, and no password`, async () => {
    await assert.rejects(beginSharedStart(connection(changed), SILENT, signal), (error) => {
      assert.ok(isFault(error), String(error))
      assert.match(error.message, words)
      assert.match(error.hint ?? '', hint)
      assert.doesNotMatch(error.message, /cluster|wrong/)
      return true
    })
  })
}

test('a database that cannot hold a catalogue is refused with every reason', async () => {
  await database.asOwner(
    `create database latin encoding 'LATIN1' locale 'C' template template0`,
    'alter database latin set synchronous_commit = off',
  )
  const latin = beginSharedStart(connection({ database: 'latin' }), SILENT, signal)
  await assert.rejects(latin, (error) => {
    assert.ok(isFault(error, 'unfit'))
    assert.match(error.message, /LATIN1.*may not make schemas.*synchronous_commit is off/)
    return true
  })
})

test('a transaction that would not fit a serial order runs again, as a whole', async () => {
  await catalogue.transaction((tx) => ask(tx, 'create table counted (n int)'))
  await catalogue.transaction((tx) => ask(tx, 'insert into counted values (0)'))
  let runs = 0
  const n = await catalogue.transaction(async (tx) => {
    runs += 1
    await ask(tx, 'set transaction isolation level repeatable read')
    await ask(tx, 'select n as value from counted')
    if (runs === 1) await database.ask('update counted set n = n + 1')
    return ask(tx, 'update counted set n = n + 1 returning n as value')
  })
  assert.deepEqual([runs, n], [2, 2])
})

test('a transaction that is in the way for ever ends as one that may be asked again', async () => {
  let runs = 0
  const raise = `do $$ begin raise exception 'in the way' using errcode = '40P01'; end $$`
  const stuck = catalogue.transaction((tx) => {
    runs += 1
    return ask(tx, raise)
  })
  await assert.rejects(stuck, (error) => isFault(error, 'transient'))
  assert.ok(runs > 1)
})

test('a connection that breaks is a transient fault, and the next transaction has another', async () => {
  const broken = catalogue.transaction((tx) =>
    ask(tx, 'select pg_terminate_backend(pg_backend_pid())'),
  )
  await assert.rejects(broken, (error) => isFault(error, 'transient'))
  await database.stop()
  const down = catalogue.transaction((tx) => ask(tx, 'select 1 as value'))
  await assert.rejects(down, (error) => isFault(error, 'transient'))
  await database.start()
  assert.equal(await catalogue.transaction((tx) => ask(tx, 'select 1 as value')), 1)
})

test('what fails otherwise fails as it is', async () => {
  const wrong = catalogue.transaction((tx) => ask(tx, 'select nonsense'))
  await assert.rejects(wrong, { code: '42703' })
})

test('TLS is checked as the mode says, and used when it may be', async () => {
  const folder = await database.host.folder('tls')
  const ours = await createAuthority(folder, 'ours')
  const theirs = await createAuthority(folder, 'theirs')
  const { certificateFile, keyFile } = await ours.issue('server', 'IP:127.0.0.1')
  const key = join(folder, 'server-own-key.pem')
  await copyFile(keyFile, key)
  await giveToUser(key, database.host.user)
  await database.stop()
  await database.start({ ssl: 'on', ssl_cert_file: certificateFile, ssl_key_file: key })
  const open = async (mode: 'prefer' | 'verify-full', root: string | null) => {
    const rootCertificate = root && (await readFile(root, 'utf8'))
    const tls = { mode, rootCertificate, client: null }
    await using start = await beginSharedStart(connection({}, { tls }), SILENT, signal)
    await using opened = await openCatalogue(start.connection, SILENT)
    const encrypted = `select ssl as value from pg_stat_ssl where pid = pg_backend_pid()`
    return await opened.transaction((tx) => ask(tx, encrypted))
  }
  assert.equal(await open('prefer', null), true)
  assert.equal(await open('verify-full', ours.certificateFile), true)
  await assert.rejects(
    open('verify-full', theirs.certificateFile),
    (error) => isFault(error, 'denied') && /sslrootcert/.test(error.hint ?? ''),
  )
})
