import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { refused } from '../../src/testing/refusals.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'

const DAY_MS = 86_400_000

let service: ServiceProcess
let instance: string
/** Oldest first; all older than 7 days. */
const sets: string[] = []

before(async () => {
  service = await ServiceProcess.open('holds')
  instance = await service.createInstance('Basic')
  const policy = { BackupRetentionPeriod: '730', AllowManualDelete: 'true' }
  await service.ask('ModifyBackupPolicy', { DBInstanceId: instance, ...policy })
  for (let round = 0; round < 3; round += 1) {
    sets.push(await service.succeed('backup', 'create', instance))
  }
  await service.succeed('clock', 'advance', '8d')
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

const on = (BackupId: string) => ({ DBInstanceId: instance, BackupId })

async function hold(id: string, more: Record<string, string> = {}): Promise<string> {
  const held = await service.ask('HoldBackup', { ...on(id), Reason: 'audit', ...more })
  return String(held['HoldId'])
}

async function release(HoldId: string): Promise<void> {
  await service.ask('ReleaseBackupHold', { DBInstanceId: instance, HoldId })
}

async function holds(): Promise<readonly Reply[]> {
  const reply = await service.ask('DescribeBackupHolds', { DBInstanceId: instance })
  return itemsOf(reply, 'BackupHold')
}

async function setOf(id: string): Promise<Reply | undefined> {
  const reply = await service.ask('DescribeBackupDeletability', on(id))
  return itemsOf(reply, 'Backup')[0]
}

async function serviceTime(): Promise<number> {
  const page = (await (await fetch(service.endpoint)).json()) as Reply
  return Date.parse(String(page['ServiceTime']))
}

test('P1, H1: a held set is not deletable, and each hold is named until it is released', async () => {
  const [id = ''] = sets
  const first = await hold(id)
  const second = await hold(id, { Reason: 'case 4711' })
  const message = refused(
    await service.call('DeleteBackup', on(id)),
    403,
    'OperationDenied.BackupSetDeleteNotSupport',
  )
  assert.match(message, new RegExp(`P1 set-not-held.*hold ${first} \\(audit\\)`))
  assert.match(message, new RegExp(`hold ${second} \\(case 4711\\) until it is released`))
  const listed = itemsOf(await service.ask('DescribeBackups', on(id)), 'Backup')
  assert.equal(listed[0]?.['StoreStatus'], 'Disabled')
  const judged = await setOf(id)
  assert.deepEqual([judged?.['DeletableTime'], judged?.['DeletableBy']], [undefined, 'hold'])
  await release(first)
  refused(
    await service.call('DeleteBackup', on(id)),
    403,
    'OperationDenied.BackupSetDeleteNotSupport',
  )
  await release(second)
  assert.equal((await setOf(id))?.['Deletable'], true)
})

test('H2: holds are listed with who, why and until when', async () => {
  const [id = ''] = sets
  const until = new Date((await serviceTime()) + DAY_MS).toISOString().replace(/\.\d+Z/, 'Z')
  const holdId = await hold(id, { HoldUntil: until, Reason: '  "quoted"; ünï 法 ' })
  const [shown, ...more] = await holds()
  assert.deepEqual(more, [])
  const { HoldTime, ...rest } = shown ?? {}
  assert.match(String(HoldTime), /^20\d\d-.*Z$/)
  assert.deepEqual(rest, {
    HoldId: holdId,
    BackupId: id,
    Reason: '"quoted"; ünï 法',
    AccessKeyId: 'testAccessKeyId',
    User: 'root',
    HoldUntil: until,
  })
  await release(holdId)
  assert.deepEqual(await holds(), [])
})

test('H3: a hold with an end lets go by itself, at the time that was foretold', async () => {
  const [id = ''] = sets
  const until = new Date((await serviceTime()) + DAY_MS).toISOString().replace(/\.\d+Z/, '.000Z')
  await hold(id, { HoldUntil: until })
  assert.equal((await setOf(id))?.['DeletableTime'], until)
  await service.succeed('clock', 'advance', '1d')
  assert.equal((await setOf(id))?.['Deletable'], true)
  assert.deepEqual(await holds(), [])
})

test('P1: one held set refuses the whole batch', async () => {
  const [first = '', second = ''] = sets
  const holdId = await hold(second)
  const reply = await service.call('DeleteBackup', on(`${first},${second}`))
  assert.match(
    refused(reply, 403, 'OperationDenied.BackupSetDeleteNotSupport'),
    new RegExp(`backup set ${second}: hold ${holdId}`),
  )
  assert.equal((await setOf(first))?.['Deletable'], true)
  await release(holdId)
})

const BAD_HOLDS = [
  ['no reason', { Reason: '' }, 400, 'MissingReason'],
  ['a blank reason', { Reason: '   ' }, 400, 'InvalidParameter'],
  ['a reason of 201 characters', { Reason: 'x'.repeat(201) }, 400, 'InvalidParameter'],
  ['a reason of several lines', { Reason: 'a\nb' }, 400, 'InvalidParameter'],
  ['an end in the past', { HoldUntil: '2020-01-01T00:00:00Z' }, 400, 'InvalidParameter'],
  ['an end that is no time', { HoldUntil: 'tomorrow' }, 400, 'InvalidParameter'],
  ['an end that is empty', { HoldUntil: '' }, 400, 'InvalidParameter'],
  ['several sets', { BackupId: '1,2' }, 400, 'InvalidParameter'],
  ['an unknown set', { BackupId: '99' }, 404, 'InvalidBackupSetID.NotFound'],
  ['an unknown instance', { DBInstanceId: 'pgm-x' }, 404, 'InvalidDBInstanceName.NotFound'],
] as const

for (const [title, bad, status, code] of BAD_HOLDS) {
  test(`H5: HoldBackup refuses ${title}, and nothing is held`, async () => {
    const asked = { ...on(sets[0] ?? ''), Reason: 'audit', ...bad }
    refused(await service.call('HoldBackup', asked), status, code)
    assert.deepEqual(await holds(), [])
  })
}

for (const HoldId of ['99', '007', '+1', '-1', 'x', '1'.repeat(30), '１']) {
  test(`H4: ReleaseBackupHold refuses the hold ${HoldId.slice(0, 10)}`, async () => {
    const asked = { DBInstanceId: instance, HoldId }
    refused(await service.call('ReleaseBackupHold', asked), 404, 'InvalidHoldId.NotFound')
  })
}

test('H4: a hold is released once, and not through another instance', async () => {
  const holdId = await hold(sets[0] ?? '')
  const other = await service.createInstance('Basic')
  const through = { DBInstanceId: other, HoldId: holdId }
  refused(await service.call('ReleaseBackupHold', through), 404, 'InvalidHoldId.NotFound')
  await release(holdId)
  const again = { DBInstanceId: instance, HoldId: holdId }
  refused(await service.call('ReleaseBackupHold', again), 404, 'InvalidHoldId.NotFound')
})

test('H5: a deleted set cannot be held', async () => {
  const [id = ''] = sets
  await service.ask('DeleteBackup', on(id))
  const reply = await service.call('HoldBackup', { ...on(id), Reason: 'too late' })
  refused(reply, 404, 'InvalidBackupSetID.NotFound')
})

test('R2: a held set outlives its instance, whatever the policy keeps', async () => {
  const [, second = '', third = ''] = sets
  await hold(second)
  await service.ask('DeleteDBInstance', { DBInstanceId: instance, ReleasedKeepPolicy: 'None' })
  const gone = async () =>
    (await service.call('DescribeDBInstanceAttribute', { DBInstanceId: instance })).status === 400
  await until(gone, 'the instance is gone')
  const detached = await service.ask('DescribeDetachedBackups', { Region: 'local' })
  assert.deepEqual(
    itemsOf(detached, 'Backup').map((set) => set['BackupId']),
    [second],
  )
  assert.ok(third)
  refused(
    await service.call('DeleteBackup', on(second)),
    403,
    'OperationDenied.BackupSetDeleteNotSupport',
  )
  await release(String((await holds())[0]?.['HoldId']))
  await service.ask('DeleteBackup', on(second))
})
