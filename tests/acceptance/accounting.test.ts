import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import { parseExposition, sampleOf } from '../../src/testing/exposition.ts'
import { itemsOf, ServiceProcess, until } from '../../src/testing/service-process.ts'

const FIGURES = [
  ...['StoredBytes', 'KeptBytes', 'UndeleteBytes', 'DeadBytes', 'FixedBytes'],
  ...['PendingFreedBytes', 'UndeleteFreedBytes', 'ReleasedBytes', 'FreedBytes'],
] as const

type Figures = Readonly<Record<string, unknown>>

function figuresOf(reply: Figures): Figures {
  return Object.fromEntries(FIGURES.map((name) => [name, reply[name]]))
}

/** What `/metrics` has under the names of the API; of the repository without an instance. */
async function scrape(service: ServiceProcess, instance?: string): Promise<Figures> {
  const families = parseExposition(await (await fetch(`${service.endpoint}/metrics`)).text())
  const labels = instance === undefined ? {} : { instance }
  const scope = instance === undefined ? 'store' : 'instance'
  const of = (name: string, more = {}) =>
    sampleOf(families, `holdfast_${name}`, { ...labels, ...more })
  const part = (name: string) => of(`${scope}_part_bytes`, { part: name })
  const counters = instance === undefined ? '' : 'instance_'
  return {
    StoredBytes: of(instance === undefined ? 'store_bytes' : 'instance_stored_bytes'),
    KeptBytes: part('kept'),
    UndeleteBytes: part('undelete'),
    DeadBytes: part('dead'),
    FixedBytes: part('fixed'),
    PendingFreedBytes: part('pending'),
    UndeleteFreedBytes: of(`${scope}_undelete_freed_bytes`),
    ReleasedBytes: of(`${counters}released_bytes_total`),
    FreedBytes: of(`${counters}freed_bytes_total`),
  }
}

/** Call, attribute, command, metrics and file system agree; gives what they say. */
async function agreed(service: ServiceProcess, id: string): Promise<Record<string, number>> {
  const usage = await service.ask('DescribeResourceUsage', { DBInstanceId: id })
  const figures = figuresOf(usage) as Record<string, number>
  const attribute = await service.ask('DescribeDBInstanceAttribute', { DBInstanceId: id })
  const [shown] = itemsOf(attribute, 'DBInstanceAttribute')
  const printed = JSON.parse(await service.succeed('instance', 'show', id)) as Figures
  assert.deepEqual(printed['BackupUsage'], figures)
  for (const place of [shown, printed]) {
    assert.equal(place?.['BackupStoredBytes'], figures['StoredBytes'])
  }
  assert.deepEqual(await scrape(service, id), figures)
  const repository = figuresOf(await service.ask('DescribeRepositoryUsage'))
  assert.deepEqual(await scrape(service), repository)
  for (const name of ['BackupSize', 'BackupDataSize', 'BackupOssDataSize']) {
    assert.equal(usage[name], figures['StoredBytes'])
  }
  assert.deepEqual([usage['BackupLogSize'], usage['BackupEcsSnapshotSize']], [0, '0'])
  const { KeptBytes = 0, UndeleteBytes = 0, DeadBytes = 0, FixedBytes = 0 } = figures
  const parts =
    KeptBytes + UndeleteBytes + DeadBytes + FixedBytes + (figures['PendingFreedBytes'] ?? 0)
  assert.equal(figures['StoredBytes'], parts)
  assert.equal(await sizeOfFiles(join(service.storageFolder, 'series')), parts)
  // All sets are of this one instance; the header is all that the repository has besides.
  assert.equal(await sizeOfFiles(service.storageFolder), repository['StoredBytes'])
  const header = Number(repository['StoredBytes']) - parts
  assert.deepEqual(
    repository,
    figuresOf({ ...figures, StoredBytes: parts + header, FixedBytes: FixedBytes + header }),
  )
  return figures
}

test('calls, commands, metrics and the file system tell the same bytes through the life of sets', async () => {
  await using service = await ServiceProcess.open('accounting', { HOLDFAST_UNDELETE_WINDOW: '1d' })
  const id = await service.createInstance('HighAvailability')
  const set = async () => service.succeed('backup', 'create', id)
  const rows = 'select g, md5(g::text) x from generate_series(1, 20000) g'
  await service.query(id, `create table t as ${rows}`)
  const sets = [await set()]
  for (let round = 1; round < 4; round += 1) {
    await service.succeed('clock', 'advance', '2d')
    await service.query(id, `update t set x = md5(x) where g % 4 = ${round}`)
    sets.push(await set())
  }
  await service.succeed('clock', 'advance', '8d')
  const preview = (...ids: readonly string[]) =>
    service.ask('PreviewDeleteBackup', { DBInstanceId: id, BackupId: ids.join() })
  const bytes = (reply: Figures) => [reply['ReleasedBytes'], reply['FreedBytes']]

  const full = await agreed(service, id)
  assert.ok((full['StoredBytes'] ?? 0) > 1_000_000)
  assert.equal(full['StoredBytes'], (full['KeptBytes'] ?? 0) + (full['FixedBytes'] ?? 0))
  assert.deepEqual(bytes(full), [0, 0])

  // Of each set alone the list says what the preview says.
  for (const listed of itemsOf(
    await service.ask('DescribeBackups', { DBInstanceId: id }),
    'Backup',
  )) {
    const alone = await preview(String(listed['BackupId']))
    assert.ok(Number(listed['ReleasedBytes']) > 1000)
    assert.equal(listed['ReleasedBytes'], alone['ReleasedBytes'])
  }

  // In the window nothing has come back, and what would is as foretold.
  const named = [sets[1] ?? '', sets[2] ?? '']
  const foretold = await preview(...named)
  await service.ask('DeleteBackup', { DBInstanceId: id, BackupId: named.join() })
  const waiting = await agreed(service, id)
  assert.equal(waiting['StoredBytes'], full['StoredBytes'])
  assert.deepEqual([waiting['UndeleteBytes'], waiting['UndeleteFreedBytes']], bytes(foretold))

  await service.ask('UndeleteBackup', { DBInstanceId: id, BackupId: sets[1] ?? '' })
  const back = await agreed(service, id)
  const { UndeleteBytes = 0 } = back
  assert.ok(UndeleteBytes > 0 && UndeleteBytes < (waiting['UndeleteBytes'] ?? 0))
  const [deleted] = itemsOf(
    await service.ask('DescribeDeletedBackups', { DBInstanceId: id }),
    'DeletedBackup',
  )
  assert.deepEqual(bytes(deleted ?? {}), [UndeleteBytes, back['UndeleteFreedBytes']])

  const { StoredBytes: stored = 0 } = full
  // Purged and reclaimed: it has come back, and no more.
  const settled = async (released: number) =>
    until(async () => {
      const usage = await service.ask('DescribeResourceUsage', { DBInstanceId: id })
      const done = usage['PendingFreedBytes'] === 0 && usage['ReleasedBytes'] === released
      return done && Number(usage['FreedBytes']) === stored - Number(usage['StoredBytes'])
    }, 'the reclaim is over')
  const purged = await service.ask('PurgeDeletedBackup', {
    DBInstanceId: id,
    BackupId: sets[2] ?? '',
  })
  assert.deepEqual(bytes(purged), bytes(deleted ?? {}))
  await settled(UndeleteBytes)
  const after = await agreed(service, id)
  assert.deepEqual(bytes(after), bytes(purged))
  assert.equal(after['UndeleteBytes'], 0)

  // A released instance still tells what its sets take, until they go.
  await service.ask('DeleteDBInstance', { DBInstanceId: id, ReleasedKeepPolicy: 'None' })
  await until(async () => {
    const usage = await service.ask('DescribeResourceUsage', { DBInstanceId: id })
    return usage['KeptBytes'] === 0
  }, 'the instance is released')
  const left = await service.ask('DescribeResourceUsage', { DBInstanceId: id })
  assert.equal(left['StoredBytes'], after['StoredBytes'])
  await service.succeed('clock', 'advance', '2d')
  await settled(Number(left['UndeleteBytes']) + UndeleteBytes)
  const gone = figuresOf(await service.ask('DescribeResourceUsage', { DBInstanceId: id }))
  assert.deepEqual([gone['StoredBytes'], gone['FreedBytes']], [0, full['StoredBytes']])
  const { StoredBytes } = await service.ask('DescribeRepositoryUsage')
  assert.equal(await sizeOfFiles(service.storageFolder), StoredBytes)
})
