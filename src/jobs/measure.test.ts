import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { instant } from '../base/clock.ts'
import { SILENT } from '../base/logger.ts'
import { sqlOf } from '../catalogue/database.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { type Family, parseExposition, sampleOf } from '../testing/exposition.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { createMeasurements, type Measurements } from './measure.ts'

const CLOCK = new ManualClock(instant(2_000_000_000_000))

function measure({ catalogue, folder }: TestCatalogue, storage = folder.scratch): Measurements {
  const folders = { data: folder.root, storage }
  const needs = { catalogue, clock: CLOCK, folders, version: '1.2.3', log: SILENT }
  return createMeasurements({ ...needs, notifying: true })
}

async function scrape(of: Measurements): Promise<ReadonlyMap<string, Family>> {
  return parseExposition(await of.render())
}

const PARTS = ['kept', 'undelete', 'dead', 'fixed', 'pending']

/** Two instances: one with sets of every state and bytes, one with nothing; and a released one. */
const ROWS = `
  insert into instance (instance_id, engine, engine_version, category, status, created_at)
    values ('pgm-full', 'PostgreSQL', '18', 'Basic', 'Running', 0),
      ('pgm-bare', 'PostgreSQL', '18', 'Basic', 'Stopped', 0),
      ('pgm-gone', 'PostgreSQL', '18', 'Basic', 'Released', 0);
  insert into job (kind, instance_id, parameters, state, created_at)
    values ('take-backup', 'pgm-full', '{}', 'finished', 0),
      ('purge-sets', 'pgm-full', '{}', 'running', 1999999940000),
      ('purge-sets', 'pgm-bare', '{}', 'running', 1999999990000);
  insert into series (instance_id) values ('pgm-full'), ('pgm-gone');
  insert into backup_set (series, number, instance_id, job_id, attempt, mode, state, started_at,
      finished_at, content_bytes, new_bytes, purge_after)
    select 1, n, 'pgm-full', 1001, 1, 'Manual', state, n * 1000, n * 1000 + 500, n * 100, n * 10,
      case when state = 'deleted' then 2000000000001 end
    from (values (1, 'kept'), (2, 'kept'), (3, 'purged'), (4, 'deleted'), (5, 'burnt'),
      (6, 'failed'), (7, 'writing'), (8, 'failed')) as v(n, state);
  update backup_set set finished_at = 1999999999999 where number = 8;
  insert into object (name, series, number, kind, bytes, state)
    values ('a', 1, 1, 'pack', 1000, 'there'), ('b', 1, 4, 'pack', 770, 'there'),
      ('c', 1, 4, 'manifest', 5, 'abandoned'), ('d', 1, 7, 'pack', 9999, 'intended'),
      ('e', 2, 1, 'pack', 20000, 'there'), ('f', null, null, 'header', 3, 'there');
  insert into pack (series, pack, born, chunks, live_bytes, target_bytes, disk_bytes, object)
    values (1, 1, 1, 9, 400, 1000, 1000, 'a'), (1, 2, 4, 9, 188, 700, 770, 'b'),
      (2, 1, 1, 9, 19488, 20000, 20000, 'e');
  insert into hold (instance_id, set_id, reason, access_key_id, user_name, address, held_at,
      held_until, released_at)
    select 'pgm-full', 100000001, '', '', '', '', 0, held_until, released_at
    from (values (null, null), (2000000000001, null), (2000000000000, null), (null, 1))
      as v(held_until, released_at);
  insert into purge (series, set_ids, released_bytes, freed_bytes, manifest_bytes, decided_at,
      finished_at, reclaimed_bytes)
    values (1, '{}', 40, 30, 0, 0, 1, 30), (1, '{}', 400, 300, 5, 0, null, 5),
      (2, '{}', 7, 6, 0, 0, 1, 6);
  insert into probe values ('pgm-full', true, 0, 3, 2, to_timestamp(1.5));
  insert into alarm (kind, subject) values ('backup-overdue', 'pgm-bare'), ('expiry-stopped', 'pgm-full')`

async function openFilled(name: string): Promise<TestCatalogue> {
  await using stack = new AsyncDisposableStack()
  const opened = stack.use(await openTestCatalogue(name))
  await opened.catalogue.transaction((tx) => sql.raw(ROWS).execute(sqlOf(tx)))
  stack.move()
  return opened
}

test('shows what the catalogue holds, and nothing of what is not known', async () => {
  await using opened = await openFilled('measure')
  const families = await scrape(measure(opened))
  const full = (name: string, labels = {}) =>
    sampleOf(families, `holdfast_${name}`, { instance: 'pgm-full', ...labels })
  const bare = (name: string, labels = {}) =>
    sampleOf(families, `holdfast_${name}`, { instance: 'pgm-bare', ...labels })
  const all = (name: string, labels = {}) => sampleOf(families, `holdfast_${name}`, labels)
  const found = {
    // The newest set that was made is the fourth, though it is deleted. One run failed long ago.
    last: full('last_success_timestamp_seconds'),
    took: full('last_backup_duration_seconds'),
    read: full('last_backup_read_bytes'),
    made: full('last_backup_new_bytes'),
    keeps: full('last_backup_stored_bytes'),
    states: ['writing', 'kept', 'deleted', 'failed'].map((state) => full('sets', { state })),
    content: full('sets_content_bytes'),
    window: [full('sets_in_undelete_window'), bare('sets_in_undelete_window')],
    holds: [full('holds'), bare('holds')],
    stopped: [full('expiry_stopped'), bare('expiry_stopped')],
    stored: full('instance_stored_bytes'),
    parts: PARTS.map((part) => full('instance_part_bytes', { part })),
    windowFrees: full('instance_undelete_freed_bytes'),
    released: full('instance_released_bytes_total'),
    freed: full('instance_freed_bytes_total'),
    up: [full('instance_up'), bare('instance_up')],
    overdue: [full('backup_overdue'), bare('backup_overdue')],
    standby: full('standby_lost'),
    probed: [full('probe_failures'), full('probe_findings'), full('probe_timestamp_seconds')],
  }
  assert.deepEqual(found, {
    last: 4.5,
    took: 0.5,
    read: 400,
    made: 40,
    keeps: 775,
    states: [1, 2, 1, 1],
    content: 300,
    window: [1, 0],
    holds: [2, 0],
    stopped: [1, 0],
    stored: 1775,
    parts: [400, 188, 88, 1024, 75],
    windowFrees: 700,
    released: 440,
    freed: 35,
    up: [1, 0],
    overdue: [0, 1],
    standby: 1,
    probed: [0, 2, 1.5],
  })
  assert.equal(bare('last_success_timestamp_seconds'), null)
  assert.equal(bare('standby_lost'), null)
  assert.deepEqual([bare('instance_stored_bytes'), bare('sets', { state: 'kept' })], [0, 0])
  assert.equal(families.get('holdfast_instance_up')?.samples.length, 2)
  assert.equal(all('store_bytes'), 21_778)
  const parts = PARTS.map((part) => all('store_part_bytes', { part }))
  assert.deepEqual([parts, all('store_undelete_freed_bytes')], [[19_888, 188, 88, 1539, 75], 700])
  assert.deepEqual([all('released_bytes_total'), all('freed_bytes_total')], [447, 41])
  const running = { kind: 'purge-sets', state: 'running' }
  assert.deepEqual([all('jobs', running), all('oldest_job_age_seconds', running)], [2, 60])
  assert.equal(all('jobs', { kind: 'take-backup', state: 'failed' }), 0)
  assert.equal(all('build_info', { version: '1.2.3' }), 1)
})

test('answers without what a catalogue that hangs would tell, and with it again later', async () => {
  await using opened = await openFilled('measure-hang')
  const measurements = measure(opened)
  const held = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const locking = opened.catalogue.transaction(async (tx) => {
    await sql`lock table backup_set in access exclusive mode`.execute(sqlOf(tx))
    locked.resolve()
    await held.promise
  })
  await locked.promise
  const without = await scrape(measurements)
  held.resolve()
  await locking
  assert.equal(sampleOf(without, 'holdfast_catalogue_up'), 0)
  assert.equal(sampleOf(without, 'holdfast_store_bytes'), null)
  assert.equal(sampleOf(without, 'holdfast_released_bytes_total'), null)
  assert.deepEqual(without.get('holdfast_instance_up')?.samples, [])
  assert.equal(without.get('holdfast_filesystem_free_bytes')?.samples.length, 2)
  const again = await scrape(measurements)
  assert.equal(sampleOf(again, 'holdfast_catalogue_up'), 1)
  assert.equal(sampleOf(again, 'holdfast_store_bytes'), 21_778)
})

test('leaves out the space of a storage that is not there', async () => {
  await using opened = await openTestCatalogue('measure-space')
  const families = await scrape(measure(opened, `${opened.folder.root}/none`))
  assert.deepEqual(families.get('holdfast_filesystem_free_bytes')?.samples, [])
  assert.equal(sampleOf(families, 'holdfast_catalogue_up'), 1)
})
