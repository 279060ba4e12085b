import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess
let instance: string
const sets: string[] = []

before(async () => {
  service = await ServiceProcess.open('receipts-of-actions', { HOLDFAST_UNDELETE_WINDOW: '24h' })
  instance = await service.createInstance('Basic')
  for (let round = 0; round < 3; round += 1) {
    sets.push(await service.succeed('backup', 'create', instance))
  }
  await service.succeed('clock', 'advance', '8d')
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

/** All receipts of the instance, oldest first. */
async function receipts(): Promise<readonly Reply[]> {
  const lines = (await service.succeed('receipts', 'export', instance)).split('\n')
  return lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Reply)
    .flatMap((line) =>
      typeof line['body'] === 'string' ? [JSON.parse(line['body']) as Reply] : [],
    )
}

/** What `act` appends. */
async function appended(act: () => Promise<unknown>): Promise<readonly Reply[]> {
  const before = (await receipts()).length
  await act()
  return (await receipts()).slice(before)
}

const on = (BackupId: string) => ({ DBInstanceId: instance, BackupId })
const kindsOf = (list: readonly Reply[]) => list.map((receipt) => receipt['kind'])
const detailsOf = (receipt: Reply | undefined) => (receipt?.['details'] ?? {}) as Reply

test('I12: a policy change is one receipt with both policies; one that changes nothing is none', async () => {
  const change = () =>
    service.ask('ModifyBackupPolicy', {
      DBInstanceId: instance,
      BackupRetentionPeriod: '30',
      AllowManualDelete: 'true',
    })
  const [receipt, ...more] = await appended(change)
  assert.deepEqual([receipt?.['kind'], more], ['modify-policy', []])
  const { before: old, after: present, weakened } = detailsOf(receipt)
  assert.deepEqual((old as Reply)['BackupRetentionPeriod'], 7)
  assert.deepEqual((present as Reply)['BackupRetentionPeriod'], 30)
  assert.deepEqual(weakened, ['AllowManualDelete'])
  assert.deepEqual(await appended(change), [])
})

test('I12: a deletion is one receipt: who, why each set could go, and what was foretold', async () => {
  const [first = '', second = ''] = sets
  const preview = await service.ask('PreviewDeleteBackup', on(`${first},${second}`))
  let reply: Reply = {}
  const [receipt, ...more] = await appended(async () => {
    reply = await service.ask('DeleteBackup', on(`${first},${second}`))
  })
  assert.deepEqual([receipt?.['kind'], more], ['delete', []])
  assert.equal(receipt?.['requestId'], reply['RequestId'])
  assert.deepEqual(
    [receipt?.['accessKeyId'], receipt?.['user'], receipt?.['address']],
    ['testAccessKeyId', 'root', '127.0.0.1'],
  )
  const details = detailsOf(receipt)
  assert.deepEqual(details['backupIds'], [first, second])
  assert.equal(details['predictedFreedBytes'], preview['FreedBytes'])
  assert.equal(details['predictedReleasedBytes'], preview['ReleasedBytes'])
  const [verdict] = details['verdicts'] as readonly Reply[]
  assert.match(String(verdict?.['D11 set-old-enough']), /^retained 8 d.*needs more than 7 d/)
  const ofInstance = details['verdict'] as Reply
  assert.match(String(ofInstance['D6 category-supported']), /AllowManualDelete is on/)
})

test('I12: undelete, hold and release are one receipt each, a refused call is none', async () => {
  const [first = '', second = ''] = sets
  const undelete = () => service.ask('UndeleteBackup', on(`${first},${second}`))
  const brought = await appended(undelete)
  assert.deepEqual(kindsOf(brought), ['undelete'])
  const back = detailsOf(brought[0])
  assert.deepEqual(back['backupIds'], [first, second])
  // Judged anew, and what the purge would have given back.
  assert.equal(Object.keys(back['verdict'] as object).length > 3, true)
  assert.deepEqual(
    (back['verdicts'] as readonly Record<string, string>[]).map((one) => one['backupId']),
    [first, second],
  )
  assert.ok(Number(back['predictedReleasedBytes']) > 0)
  let holdId = ''
  const hold = async () => {
    const held = await service.ask('HoldBackup', { ...on(first), Reason: 'audit' })
    holdId = String(held['HoldId'])
  }
  const [held] = await appended(hold)
  assert.equal(detailsOf(held)['reason'], 'audit')
  const refused = await appended(() => service.call('DeleteBackup', on(first)))
  assert.deepEqual(refused, [])
  const release = () => service.ask('ReleaseBackupHold', { DBInstanceId: instance, HoldId: holdId })
  assert.deepEqual(kindsOf(await appended(release)), ['release-hold'])
})

test('I12, I13: a purge is told when asked for, decided and over, with the bytes that were foretold', async () => {
  const [first = ''] = sets
  await service.ask('DeleteBackup', on(first))
  let foretold: unknown
  const list = await appended(async () => {
    foretold = (await service.ask('PurgeDeletedBackup', on(first)))['FreedBytes']
    const over = async () => kindsOf(await receipts()).at(-1) === 'reclaim'
    await until(over, 'the reclaim is over')
  })
  assert.deepEqual(
    list.map((receipt) => [receipt['kind'], detailsOf(receipt)['step'], receipt['user']]),
    [
      ['purge', 'asked', 'root'],
      ['purge', 'decided', 'system'],
      ['reclaim', 'over', 'system'],
    ],
  )
  for (const receipt of list) assert.equal(detailsOf(receipt)['predictedFreedBytes'], foretold)
  assert.equal(detailsOf(list.at(-1))['freedBytes'], foretold, 'as much came back')
})

test('I12: expiry and the removal of the instance are receipts, which outlive it and verify', async () => {
  const [, second = '', third = ''] = sets
  await service.ask('ModifyBackupPolicy', { DBInstanceId: instance, BackupRetentionPeriod: '7' })
  assert.ok(second && third)
  const list = await appended(async () => {
    await service.ask('DeleteDBInstance', { DBInstanceId: instance, ReleasedKeepPolicy: 'Lastest' })
    await until(async () => kindsOf(await receipts()).at(-1) === 'remove-instance', 'it is gone')
  })
  assert.deepEqual(kindsOf(list), ['delete', 'remove-instance'])
  assert.deepEqual(detailsOf(list[0])['backupIds'], [second])
  assert.equal(detailsOf(list[0])['cause'], 'instance-removal')
  assert.equal(list[1]?.['user'], 'root')
  assert.equal((await service.run('receipts', 'verify')).code, 0)
})
