import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess
let first: string
let second: string

before(async () => {
  service = await ServiceProcess.open('schedule', { HOLDFAST_PAUSE: 'expiry' })
  first = await service.createInstance('Basic')
  second = await service.createInstance('Basic')
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

async function automatic(instance: string): Promise<readonly Reply[]> {
  const asked = { DBInstanceId: instance, BackupMode: 'Automated' }
  return itemsOf(await service.ask('DescribeBackups', asked), 'Backup')
}

async function nextSlot(instance: string): Promise<number> {
  const policy = await service.ask('DescribeBackupPolicy', { DBInstanceId: instance })
  return Date.parse(String(policy['PreferredNextBackupTime']))
}

async function serviceTime(): Promise<number> {
  const page = (await (await fetch(service.endpoint)).json()) as Reply
  return Date.parse(String(page['ServiceTime']))
}

/** Two looks of the duty that schedules, and some. */
const LOOKS_MS = 5_000

test('S1: a new instance waits for its first slot, and two have different minutes of the hour', async () => {
  await pause(LOOKS_MS)
  assert.deepEqual([await automatic(first), await automatic(second)], [[], []])
  const next = [await nextSlot(first), await nextSlot(second)]
  for (const slot of next) assert.equal(new Date(slot).getUTCHours(), 2)
  assert.ok(next.every((slot) => ['2', '4', '6'].includes(String(new Date(slot).getUTCDay()))))
})

test('S2: a set is taken at the slot, by the service, and the next slot is another day', async () => {
  const slot = Math.max(await nextSlot(first), await nextSlot(second))
  const seconds = Math.ceil((slot - (await serviceTime())) / 1000) + 60
  await service.succeed('clock', 'advance', `${seconds}s`)
  for (const instance of [first, second]) {
    await until(async () => (await automatic(instance)).length === 1, 'the set is there')
    const [set] = await automatic(instance)
    assert.equal(set?.['BackupInitiator'], 'System')
    assert.ok((await nextSlot(instance)) > slot)
  }
})

test('S3: after weeks without the service one set is taken, not one for each slot', async () => {
  await service.stop('SIGTERM')
  await service.succeed('clock', 'advance', '21d')
  await service.start()
  await until(async () => (await automatic(first)).length === 2, 'the set is there')
  await pause(LOOKS_MS)
  assert.equal((await automatic(first)).length, 2)
})

test('S4: an automatic backup waits for one by hand, and there are never two at once', async () => {
  await service.query(
    first,
    'create table t as select g, md5(g::text) x from generate_series(1, 400000) g',
  )
  const before = (await automatic(first)).length
  const { BackupJobId } = await service.ask('CreateBackup', { DBInstanceId: first })
  await service.succeed('clock', 'advance', '4d')
  let most = 0
  await until(async () => {
    const tasks = await service.ask('DescribeBackupTasks', { DBInstanceId: first })
    most = Math.max(most, itemsOf(tasks, 'BackupJob').length)
    return (await automatic(first)).length === before + 1
  }, 'the automatic set is there')
  assert.equal(most, 1)
  const asked = { DBInstanceId: first, BackupJobId: String(BackupJobId) }
  const [byHand] = itemsOf(await service.ask('DescribeBackupTasks', asked), 'BackupJob')
  assert.equal(byHand?.['BackupStatus'], 'Finished')
})

test('S5: a changed policy counts from its change on', async () => {
  const now = new Date(await serviceTime())
  const hour = (now.getUTCHours() + 2) % 24
  const two = (value: number) => String(value).padStart(2, '0')
  const WEEK = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
  await service.ask('ModifyBackupPolicy', {
    DBInstanceId: second,
    PreferredBackupTime: `${two(hour)}:00Z-${two(hour + 1)}:00Z`,
    PreferredBackupPeriod: WEEK.join(','),
  })
  const slot = await nextSlot(second)
  assert.ok(slot > now.getTime() && slot < now.getTime() + 24 * 3_600_000)
  assert.equal(new Date(slot).getUTCHours(), hour)
})
