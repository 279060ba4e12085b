import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { DAY_MS, type Instant, instant, machineNow } from '../../base/clock.ts'
import type { InstanceId, JobId } from '../../base/ids.ts'
import { SILENT } from '../../base/logger.ts'
import { openTestCatalogue, type TestCatalogue } from '../../testing/catalogue-server.ts'
import { automaticSince, instancesPastRetention } from '../automatic.ts'
import { listSets } from '../backup-sets.ts'
import { openCatalogue } from '../database.ts'
import { findInstance } from '../instances.ts'
import { beginAttempt } from '../jobs.ts'
import { type Connection, openKysely, openPool } from '../sql/connection.ts'
import { initialSchema } from './0001-initial.ts'
import { migrateTo } from './all.ts'

let opened: TestCatalogue

before(async () => {
  opened = await openTestCatalogue('migrations')
})

after(async () => {
  await opened[Symbol.asyncDispose]()
})

/** A statement on a database of the test's server, outside of every transaction. */
async function run(connection: Connection, text: string): Promise<void> {
  const pool = openPool(connection, () => {})
  try {
    await pool.query(text)
  } finally {
    await pool.end()
  }
}

async function emptyDatabase(name: string): Promise<Connection> {
  await run(opened.catalogue.connection, `create database ${name}`)
  return { ...opened.catalogue.connection, database: name }
}

/** An instance with a kept set, as the first release wrote them. */
const ROWS = `
  insert into instance (instance_id, engine, engine_version, category, status, created_at)
    values ('pgm-000000000000old1', 'PostgreSQL', '18', 'Basic', 'Running', 1);
  insert into job (kind, instance_id, parameters, created_at)
    values ('take-backup', 'pgm-000000000000old1', '{}', 1);
  insert into series (instance_id, next_number, newest_number) values ('pgm-000000000000old1', 2, 1);
  insert into backup_set (series, number, instance_id, job_id, attempt, mode, state, started_at,
    finished_at, consistent_at, content_bytes, new_bytes, manifest, manifest_bytes, checksum, node,
    engine_version)
    values (1, 1, 'pgm-000000000000old1', 1001, 1, 'Manual', 'kept', 1, 2, 2, 3, 3, 'm', 1, 'c', 'n',
    '18');
  insert into job (kind, instance_id, parameters, created_at) values ('remove-instance',
    'pgm-000000000000old1', '{"keep": "All", "accessKeyId": "k", "address": "a"}', 1);`

test('brings a catalogue of the first release up to date, with its instances and sets', async () => {
  const connection = await emptyDatabase('first_release')
  const kysely = openKysely(openPool(connection, () => {}))
  const getMigrations = async () => ({ '0001-initial': initialSchema })
  const { error } = await new Migrator({
    db: kysely,
    provider: { getMigrations },
  }).migrateToLatest()
  assert.equal(error, undefined)
  await sql.raw(ROWS).execute(kysely)
  await kysely.destroy()

  await using catalogue = await openCatalogue(connection, SILENT)
  const id = 'pgm-000000000000old1' as InstanceId
  const found = await catalogue.transaction((tx) => findInstance(tx, id))
  assert.equal(found?.instance.origin, 'local')
  assert.equal(found?.instance.deletionProtection, false)
  const all = { setIds: null, state: null, mode: null, from: null, to: null }
  const { sets } = await catalogue.transaction((tx) =>
    listSets(tx, id, all, instant(3), { offset: 0, limit: 9 }),
  )
  assert.deepEqual(
    sets.map((set) => [set.id, set.state]),
    [[100000001, 'kept']],
  )
  const removal = await catalogue.transaction((tx) => beginAttempt(tx, 1002 as JobId))
  const actor = { accessKeyId: 'k', user: 'root', address: 'a' }
  assert.deepEqual(removal?.parameters, { keep: 'All', actor })
})

test('sets and schedules that were there before expiry existed count from the upgrade on', async () => {
  const connection = await emptyDatabase('before_expiry')
  const kysely = openKysely(openPool(connection, () => {}))
  await migrateTo(kysely, ['0001-initial', '0002-attached-instances', '0003-events'])
  await sql.raw(ROWS).execute(kysely)
  await kysely.destroy()

  await using catalogue = await openCatalogue(connection, SILENT)
  const id = 'pgm-000000000000old1' as InstanceId
  const now = machineNow()
  const past = (at: Instant) => catalogue.transaction((tx) => instancesPastRetention(tx, at))
  assert.deepEqual(await past(now), [])
  assert.deepEqual(await past(instant(now + 7 * DAY_MS + 1000)), [id])
  const since = (slot: number) =>
    catalogue.transaction((tx) => automaticSince(tx, new Map([[id, instant(slot)]]), now))
  assert.equal((await since(now - DAY_MS)).size, 0)
  assert.deepEqual((await since(now + 1000)).get(id), { count: 0, failedAt: null })
})

test('refuses a catalogue that a newer version has changed, and leaves it as it is', async () => {
  const connection = await emptyDatabase('newer')
  await (await openCatalogue(connection, SILENT))[Symbol.asyncDispose]()
  await run(connection, `insert into kysely_migration values ('9999-later', now()::text)`)
  const opening = () => openCatalogue(connection, SILENT)
  const refused = { kind: 'unfit', message: /made by a newer version/, hint: /run that version/ }
  await assert.rejects(opening, refused)
  await run(connection, `delete from kysely_migration where name = '9999-later'`)
  await (await opening())[Symbol.asyncDispose]()
})
