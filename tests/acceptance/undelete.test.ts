import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import { refused } from '../../src/testing/refusals.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess
let instance: string
/** Oldest first; all older than 7 days. */
const sets: string[] = []

before(async () => {
  service = await ServiceProcess.open('undelete', { HOLDFAST_UNDELETE_WINDOW: '24h' })
  instance = await service.createInstance('Basic')
  await service.ask('ModifyBackupPolicy', {
    DBInstanceId: instance,
    BackupRetentionPeriod: '730',
    AllowManualDelete: 'true',
  })
  await service.query(
    instance,
    'create table t as select g, md5(g::text) x from generate_series(1, 20000) g',
  )
  for (let round = 0; round < 5; round += 1) {
    await service.query(instance, `update t set x = md5(x) where g % 5 = ${round}`)
    sets.push(await service.succeed('backup', 'create', instance))
    await service.succeed('clock', 'advance', '1d')
  }
  await service.succeed('clock', 'advance', '8d')
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

const on = (BackupId: string) => ({ DBInstanceId: instance, BackupId })

async function listed(): Promise<readonly Reply[]> {
  return itemsOf(await service.ask('DescribeBackups', { DBInstanceId: instance }), 'Backup')
}

async function deleted(instanceId = instance): Promise<readonly Reply[]> {
  const reply = await service.ask('DescribeDeletedBackups', { DBInstanceId: instanceId })
  return itemsOf(reply, 'DeletedBackup')
}

const idsOf = (rows: readonly Reply[]) => rows.map((row) => String(row['BackupId']))

async function storedBytes(): Promise<number> {
  return sizeOfFiles(service.storageFolder)
}

test('U1, U2: a deleted set leaves DescribeBackups at once and is listed with its end and bytes', async () => {
  const id = sets[1] ?? ''
  const preview = await service.ask('PreviewDeleteBackup', on(id))
  assert.deepEqual([preview['ReleasedBytesNow'], preview['FreedBytesNow']], [0, 0])
  assert.equal(preview['BytesExact'], false)
  const before = await storedBytes()
  await service.ask('DeleteBackup', on(id))
  assert.ok(!idsOf(await listed()).includes(id))
  const [set, ...more] = await deleted()
  assert.deepEqual([set?.['BackupId'], more], [id, []])
  assert.equal(set?.['FreedBytes'], preview['FreedBytes'])
  const windowMs =
    Date.parse(String(set?.['UndeleteExpireTime'])) - Date.parse(String(set?.['DeleteTime']))
  assert.equal(windowMs, 24 * 3_600_000)
  assert.equal(await storedBytes(), before, 'not a byte has gone')
  refused(await service.call('DeleteBackup', on(id)), 404, 'InvalidBackupSetID.NotFound')
  await service.ask('UndeleteBackup', on(id))
})

test('U3: a set that is undeleted is as it was, the same in every list and byte', async () => {
  const id = sets[2] ?? ''
  const before = await listed()
  await service.ask('DeleteBackup', on(id))
  await service.ask('UndeleteBackup', on(`${instance}:${id}, ${id}`))
  assert.deepEqual(await listed(), before)
  assert.deepEqual(await deleted(), [])
  assert.equal((await service.run('verify')).code, 0)
  const target = join(service.folder, 'restored')
  await service.succeed('restore', '--backup-id', id, '--target-directory', target)
  await rm(target, { recursive: true })
})

test('U3: an undeleted set is judged anew, and can be deleted again', async () => {
  const id = sets[2] ?? ''
  await service.ask('DeleteBackup', on(id))
  await service.ask('UndeleteBackup', on(id))
  const judged = await service.ask('DescribeBackupDeletability', on(id))
  assert.equal(itemsOf(judged, 'Backup')[0]?.['Deletable'], true)
  await service.ask('DeleteBackup', on(id))
  await service.ask('UndeleteBackup', on(id))
})

test('U4: a set taken after a deletion builds on it, and the undelete brings back both', async () => {
  const newest = sets[4] ?? ''
  await service.ask('DeleteBackup', on(newest))
  const later = await service.succeed('backup', 'create', instance)
  await service.ask('UndeleteBackup', on(newest))
  assert.equal((await service.run('verify')).code, 0)
  assert.deepEqual(idsOf(await listed()), [later, ...sets.toReversed()])
})

const BAD = [
  ['nothing', '', 400, 'MissingBackupId'],
  ['commas', ' , ', 400, 'ParameterLeastAssociate'],
  ['text', 'abc', 404, 'InvalidBackupSetID.NotFound'],
  ['unicode', '１００', 404, 'InvalidBackupSetID.NotFound'],
  ['leading zeros', '0100000001', 404, 'InvalidBackupSetID.NotFound'],
  ['a sign', '+100000001', 404, 'InvalidBackupSetID.NotFound'],
  ['10²⁰', '100000000000000000000', 404, 'InvalidBackupSetID.NotFound'],
  ['a megabyte', '7'.repeat(1_000_000), 404, 'InvalidBackupSetID.NotFound'],
] as const

for (const action of ['UndeleteBackup', 'PurgeDeletedBackup']) {
  for (const [title, id, status, code] of BAD) {
    test(`U5: ${action} refuses ${title} and changes nothing`, async () => {
      const before = [await listed(), await deleted()]
      refused(await service.call(action, on(id), { method: 'POST' }), status, code)
      assert.deepEqual([await listed(), await deleted()], before)
    })
  }

  test(`U5: ${action} is all or nothing: what is kept or unknown refuses the rest`, async () => {
    const [first = '', second = ''] = sets
    await service.ask('DeleteBackup', on(first))
    const kept = await service.call(action, on(`${first},${second}`))
    assert.match(refused(kept, 403, 'IncorrectBackupSetState'), /is not deleted/)
    const unknown = await service.call(action, on(`${first},${second},99`))
    refused(unknown, 404, 'InvalidBackupSetID.NotFound')
    assert.deepEqual(idsOf(await deleted()), [first])
    const many = Array.from({ length: 101 }, (_, index) => index + 1).join(',')
    refused(await service.call(action, on(many)), 400, 'DeleteBackupSetNumExceed')
    const elsewhere = { DBInstanceId: 'pgm-x', BackupId: first }
    refused(await service.call(action, elsewhere), 404, 'InvalidDBInstanceName.NotFound')
    await service.ask('UndeleteBackup', on(first))
  })
}

test('a refused call is an event, and no receipt', async () => {
  // At most ten a minute are recorded of an instance: this one has its own.
  const asked = { DBInstanceId: 'pgm-nobody', BackupId: '99' }
  const reply = await service.call('UndeleteBackup', asked)
  refused(reply, 404, 'InvalidDBInstanceName.NotFound')
  const about = { RegionId: 'local', DBInstanceId: 'pgm-nobody' }
  const events = await service.ask('DescribeEvents', about)
  const list = (events['EventItems'] as Reply)['EventItems'] as readonly Reply[]
  const { RequestId } = reply.parsed as Reply
  assert.deepEqual(
    list.map((one) => [one['EventName'], String(one['EventPayload']).includes(String(RequestId))]),
    [['UndeleteBackup', true]],
  )
  assert.ok(!(await service.succeed('receipts', 'export')).includes(String(RequestId)))
})

test('U6: a purge by hand ends the window: the foretold bytes are back, and nothing undeletes', async () => {
  const id = sets[1] ?? ''
  await service.ask('DeleteBackup', on(id))
  const before = await storedBytes()
  const purged = await service.ask('PurgeDeletedBackup', on(id))
  const after = before - Number(purged['FreedBytes'])
  await until(async () => (await storedBytes()) === after, 'the bytes are back')
  assert.ok(Number(purged['FreedBytes']) > 0)
  const late = await service.call('UndeleteBackup', on(id))
  assert.match(refused(late, 404, 'InvalidBackupSetID.NotFound'), /was purged/)
  refused(await service.call('PurgeDeletedBackup', on(id)), 404, 'InvalidBackupSetID.NotFound')
  assert.deepEqual(await deleted(), [])
})

test('U7: when the window is over the bytes come back by themselves, and nothing undeletes', async () => {
  const id = sets[0] ?? ''
  await service.ask('DeleteBackup', on(id))
  const [set] = await deleted()
  const before = await storedBytes()
  await service.stop('SIGKILL')
  await service.start()
  assert.equal(await storedBytes(), before, 'a new start ends no window')
  await service.succeed('clock', 'advance', '1d')
  const after = before - Number(set?.['FreedBytes'])
  await until(async () => (await storedBytes()) === after, 'the bytes are back')
  refused(await service.call('UndeleteBackup', on(id)), 404, 'InvalidBackupSetID.NotFound')
  assert.equal((await service.run('verify')).code, 0)
})

test('U8: the sets of a removed instance can be brought back, and are its detached sets then', async () => {
  const other = await service.createInstance('Basic')
  const set = await service.succeed('backup', 'create', other)
  await service.ask('DeleteDBInstance', { DBInstanceId: other, ReleasedKeepPolicy: 'None' })
  await until(async () => (await deleted(other)).length === 1, 'the instance is gone')
  const detached = async () =>
    idsOf(itemsOf(await service.ask('DescribeDetachedBackups', { Region: 'local' }), 'Backup'))
  assert.deepEqual(await detached(), [])
  assert.equal((await deleted(other))[0]?.['DeleteCause'], 'instance-removal')
  await service.ask('UndeleteBackup', { DBInstanceId: other, BackupId: set })
  assert.deepEqual(await detached(), [set])
})
