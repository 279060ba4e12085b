import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { itemsOf, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess

/** Automatic backups are off: what succeeds and when is this test's. */
before(async () => {
  const changed = { HOLDFAST_PAUSE: 'backups', HOLDFAST_UNDELETE_WINDOW: '6h' }
  service = await ServiceProcess.open('expiry', changed)
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

async function idsIn(action: string, list: string, more: Record<string, string>) {
  const rows = itemsOf(await service.ask(action, more), list)
  return rows.map((row) => String(row['BackupId'])).sort()
}

const kept = (id: string) => idsIn('DescribeBackups', 'Backup', { DBInstanceId: id })
const deleted = (id: string) =>
  idsIn('DescribeDeletedBackups', 'DeletedBackup', { DBInstanceId: id })

async function untilKept(instance: string, ids: readonly string[]): Promise<void> {
  const wanted = [...ids].sort().join()
  await until(async () => (await kept(instance)).join() === wanted, `kept are ${wanted}`)
}

async function metric(name: string): Promise<string> {
  const page = await (await fetch(`${service.endpoint}/metrics`)).text()
  return page
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line === name)
    .join('\n')
}

/** Two looks of the duty that lets sets expire, and some. */
const LOOKS_MS = 5_000

test('E1, E3, P1: sets past the retention expire; a held one and the newest good one stay', async () => {
  const instance = await service.createInstance('Basic')
  const backup = () => service.succeed('backup', 'create', instance)
  const [first, second] = [await backup(), await backup()]
  const held = await backup()
  const on = { DBInstanceId: instance, BackupId: held }
  const { HoldId } = await service.ask('HoldBackup', { ...on, Reason: 'keep it' })
  await service.succeed('clock', 'advance', '7d')
  const third = await backup()
  await service.succeed('clock', 'advance', '1h')
  await untilKept(instance, [held, third])
  assert.deepEqual(await deleted(instance), [first, second].sort())
  // An expired set that is brought back is kept for the retention again, not expired at the next look.
  await service.ask('UndeleteBackup', { DBInstanceId: instance, BackupId: first })
  await pause(LOOKS_MS)
  await untilKept(instance, [first, held, third])
  await service.ask('ReleaseBackupHold', { DBInstanceId: instance, HoldId: String(HoldId) })
  await untilKept(instance, [first, third])
})

test('E1, E8: a shorter retention acts at once, as its preview said', async () => {
  const instance = await service.createInstance('Basic')
  const on = { DBInstanceId: instance }
  await service.ask('ModifyBackupPolicy', { ...on, BackupRetentionPeriod: '30' })
  const old = await service.succeed('backup', 'create', instance)
  await service.succeed('clock', 'advance', '10d')
  const young = await service.succeed('backup', 'create', instance)
  const shorter = { ...on, BackupRetentionPeriod: '7' }
  const preview = await service.ask('PreviewModifyBackupPolicy', shorter)
  assert.deepEqual(
    itemsOf(preview, 'Backup').map((set) => [set['BackupId'], set['ExpiresAtOnce']]),
    [
      [old, true],
      [young, false],
    ],
  )
  assert.equal(preview['ExpiringAtOnceCount'], 1)
  assert.ok(Number(preview['FreedBytes']) > 0)
  assert.deepEqual(preview['Weakens'], { Parameter: ['BackupRetentionPeriod'] })
  await untilKept(instance, [old, young])
  await service.ask('ModifyBackupPolicy', shorter)
  await untilKept(instance, [young])
})

test('R1: sets that outlive their instance stay restorable, obey their own rules, and expire', async () => {
  const instance = await service.createInstance('Basic')
  const set = await service.succeed('backup', 'create', instance)
  await service.succeed('clock', 'advance', '10d')
  await service.ask('DeleteDBInstance', { DBInstanceId: instance, ReleasedKeepPolicy: 'Lastest' })
  const detached = () => idsIn('DescribeDetachedBackups', 'Backup', { Region: 'local' })
  await until(async () => (await detached()).includes(set), 'the set is detached')
  await pause(LOOKS_MS)
  assert.ok((await detached()).includes(set), 'its retention counts from the release')
  const target = `${service.folder}/restored`
  await service.succeed('restore', '--backup-id', set, '--target-directory', target)
  await service.succeed('clock', 'advance', '7d')
  await until(async () => !(await detached()).includes(set), 'it has expired')
  assert.deepEqual(await deleted(instance), [set])
})

test('E2: the stop of expiry is a metric, and it ends', async () => {
  const instance = await service.createInstance('Basic')
  await service.succeed('backup', 'create', instance)
  await service.succeed('clock', 'advance', '20d')
  const stopped = async () => (await metric('holdfast_expiry_stopped')).includes(`"${instance}"} 1`)
  await until(stopped, 'the metric is 1')
  await service.succeed('backup', 'create', instance)
  await until(async () => !(await stopped()), 'the metric is 0')
})
