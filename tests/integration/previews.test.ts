import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { FilledCatalogue } from '../../bench/filled-catalogue.ts'
import { firstFree } from '../../bench/made-up-history.ts'
import { DAY_MS, HOUR_MS, instant } from '../../src/base/clock.ts'
import { type InstanceId, newRequestId } from '../../src/base/ids.ts'
import { SILENT } from '../../src/base/logger.ts'
import { lockInstance, updatePolicy } from '../../src/catalogue/instances.ts'
import { expireSets } from '../../src/jobs/expire-sets.ts'
import { DeleteBackup } from '../../src/operations/delete-backup.ts'
import { DescribeBackupDeletability } from '../../src/operations/describe-backup-deletability.ts'
import { DescribeBackupHolds } from '../../src/operations/describe-backup-holds.ts'
import { DescribeBackups } from '../../src/operations/describe-backups.ts'
import { DescribeDeletedBackups } from '../../src/operations/describe-deleted-backups.ts'
import { DescribeDetachedBackups } from '../../src/operations/describe-detached-backups.ts'
import { HoldBackup } from '../../src/operations/hold-backup.ts'
import { PreviewDeleteBackup } from '../../src/operations/preview-delete-backup.ts'
import { PreviewModifyBackupPolicy } from '../../src/operations/preview-modify-backup-policy.ts'
import { openTestCatalogue, type TestCatalogue } from '../../src/testing/catalogue-server.ts'
import type { Operation } from '../../src/wire/operation.ts'

/** The newest set of a made-up history ended eight days before its time. */
const NEWEST_AT = instant(1_800_000_000_000)
const NOW = instant(NEWEST_AT + HOUR_MS)
const SETS = 1500
const HELD = firstFree(SETS) - 1
/** Sets are an hour apart: those younger than seven days stay. */
const YOUNG = 7 * 24
const INSTANCE = 'pgm-0000000000000many' as InstanceId
const CALLER = { accessKeyId: 'k', user: 'root', address: '127.0.0.1' }
const NEVER = new AbortController().signal

let server: TestCatalogue
let made: FilledCatalogue

before(async () => {
  server = await openTestCatalogue('previews')
  const madeAt = instant(NEWEST_AT + 8 * DAY_MS)
  made = await FilledCatalogue.create(server.catalogue.connection, 'many', madeAt)
  const workload = { basePacks: 2, rowsPerSet: 2 }
  await made.insert({ instanceId: INSTANCE, sets: SETS, state: 'kept', workload })
  await made.vacuum()
})

after(async () => {
  await made[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

type Reply = Readonly<Record<string, unknown>>
type Needs = ReturnType<FilledCatalogue['needs']> & { readonly region: string }

async function ask(
  operation: Operation<Needs>,
  parameters: Readonly<Record<string, string>>,
): Promise<Reply> {
  const raw = new Map(Object.entries({ DBInstanceId: INSTANCE, ...parameters }))
  const context = { raw, caller: CALLER, requestId: newRequestId(), now: NOW }
  return operation.answer(context, { ...made.needs(DAY_MS), region: 'local' })
}

function items(reply: Reply): readonly Reply[] {
  const [list] = Object.values(reply['Items'] as Readonly<Record<string, readonly Reply[]>>)
  return list ?? []
}

async function within<T>(work: Promise<T>): Promise<T> {
  const late = AbortSignal.timeout(20_000)
  return Promise.race([
    work,
    new Promise<never>((_, reject) => {
      late.addEventListener('abort', () => reject(new Error('waits for a lock')))
    }),
  ])
}

test('previews and lists answer while somebody else has the instance in hand, and lock nothing', async () => {
  const [first = 0] = await made.freeSets(INSTANCE)
  await made.catalogue.transaction(async (tx) => {
    assert.ok(await lockInstance(tx, INSTANCE))
    const preview = await within(ask(PreviewDeleteBackup, { BackupId: String(first) }))
    assert.equal(preview['RemainingBackupCount'], SETS - 1)
    await within(ask(PreviewModifyBackupPolicy, { BackupRetentionPeriod: '7' }))
    await within(ask(DescribeBackupDeletability, { BackupId: String(first) }))
  })
})

test('lists of sets take several IDs, in any spelling that DeleteBackup takes, and unknown ones find nothing', async () => {
  const ids = (await made.freeSets(INSTANCE)).slice(0, 3).map(String)
  const [first = '', second = '', third = ''] = ids
  const BackupId = `${second},${first},999999999999,x`
  const range = { StartTime: '2020-01-01T00:00Z', EndTime: '2030-01-01T00:00Z' }
  for (const operation of [DescribeBackupDeletability, DescribeBackups]) {
    const reply = await ask(operation, { ...range, BackupId })
    assert.deepEqual(
      items(reply)
        .map((item) => item['BackupId'])
        .sort(),
      [first, second],
    )
  }
  await ask(DeleteBackup, { BackupId: `${second},${third}` })
  const deleted = await ask(DescribeDeletedBackups, { BackupId: `${first},${third},${second}` })
  assert.deepEqual(
    items(deleted)
      .map((item) => item['BackupId'])
      .sort(),
    [second, third],
  )
  for (let held = 0; held < 2; held += 1) {
    await ask(HoldBackup, { BackupId: first, Reason: 'audit' })
  }
  const holds = await ask(DescribeBackupHolds, { BackupId: `${first},${third}` })
  assert.deepEqual(
    items(holds).map((item) => item['BackupId']),
    [first, first],
  )
  assert.deepEqual(items(await ask(DescribeBackupHolds, { BackupId: ',' })), [])
})

test('every list of sets refuses a range that ends before it begins, or at once', async () => {
  const day = '2027-01-02T00:00Z'
  for (const StartTime of ['2027-01-03T00:00Z', day]) {
    const range = { StartTime, EndTime: day }
    for (const operation of [DescribeBackupDeletability, DescribeBackups]) {
      await assert.rejects(ask(operation, range), { code: 'InvalidParameterCombination' })
    }
    const detached = ask(DescribeDetachedBackups, { Region: 'local', ...range })
    await assert.rejects(detached, { code: 'InvalidParameterCombination' })
  }
  const elsewhere = ask(DescribeDetachedBackups, { Region: 'mars' })
  await assert.rejects(elsewhere, { code: 'InvalidRegion.NotFound' })
})

test('H2: a reason is text that can be seen, and the end of a hold is kept to the millisecond', async () => {
  const id = String((await made.freeSets(INSTANCE)).at(-3))
  const hold = (Reason: string, HoldUntil = '2027-01-20T00:00:00.5Z') =>
    ask(HoldBackup, { BackupId: id, Reason, HoldUntil })
  const unseen = [' ', '\u200b', '\u202eabc', 'a\ufffeb', 'a\u2028b', 'x'.repeat(201)]
  for (const reason of unseen) {
    await assert.rejects(hold(reason), { code: 'InvalidParameter' })
  }
  const held = await hold('\u{1f512}'.repeat(200))
  assert.equal(held['HoldUntil'], '2027-01-20T00:00:00.500Z')
  assert.equal((await hold('审计', '2027-01-20T00:00:00Z'))['HoldUntil'], '2027-01-20T00:00:00Z')
  const shown = items(await ask(DescribeBackupHolds, { BackupId: id })).map(
    (one) => one['HoldUntil'],
  )
  assert.deepEqual(shown, ['2027-01-20T00:00:00.500Z', '2027-01-20T00:00:00Z'])
})

test('H1: a set has at most 100 holds at a time', async () => {
  const id = String((await made.freeSets(INSTANCE)).at(-2))
  const hold = () => ask(HoldBackup, { BackupId: id, Reason: 'audit' })
  for (let held = 0; held < 100; held += 1) await hold()
  await assert.rejects(hold(), { code: 'IncorrectBackupSetState' })
  assert.equal(items(await ask(DescribeBackupHolds, { BackupId: id })).length, 100)
})

test('E8: PreviewModifyBackupPolicy names the minimum that keeps sets past their retention', async () => {
  const total = Number((await ask(PreviewModifyBackupPolicy, {}))['TotalRecordCount'])
  const minimum = total - 10
  const parameters = { BackupRetentionPeriod: '7', MinimumBackupSets: String(minimum) }
  const preview = await ask(PreviewModifyBackupPolicy, parameters)
  assert.equal(preview['ExpiringAtOnceCount'], 10)
  const stay = items(preview).filter((item) => !item['ExpiresAtOnce'])
  assert.ok(stay.length > 900)
  for (const item of stay) {
    assert.match(String(item['KeptBy']), /^(P1 set-not-held|P2 minimum-sets)$/)
    assert.notEqual(item['Evidence'], undefined)
  }
})

test('E8: PreviewModifyBackupPolicy counts all that would go of more sets than it lists, and expiry takes just those', async () => {
  const kept = await ask(PreviewModifyBackupPolicy, { BackupRetentionPeriod: '730' })
  const preview = await ask(PreviewModifyBackupPolicy, { BackupRetentionPeriod: '7' })
  assert.equal(kept['ExpiringAtOnceCount'], 0)
  assert.equal(items(preview).length, 1000)
  const total = Number(preview['TotalRecordCount'])
  // Two are deleted and one is held besides those of the history.
  assert.equal(total, SETS - 2)
  assert.equal(preview['ExpiringAtOnceCount'], total - HELD - 1 - YOUNG)
  // What happens until the windows are over, and purges one after another, can change the bytes.
  assert.equal(preview['BytesExact'], false)
  const held = items(preview).filter((item) => item['KeptBy'] === 'P1 set-not-held')
  assert.equal(held.length, HELD + 1)
  assert.deepEqual(
    items(preview).filter((item) => item['KeptBy'] === undefined && !item['ExpiresAtOnce']),
    [],
  )

  await made.catalogue.transaction(async (tx) => {
    const found = await lockInstance(tx, INSTANCE)
    assert.ok(found)
    await updatePolicy(tx, INSTANCE, { ...found.policy, dataRetentionDays: 7 }, NOW)
  })
  const clock = { now: () => NOW, refresh: async () => {} }
  await expireSets({ ...made.needs(DAY_MS), clock }, SILENT, NEVER)
  const after = await ask(PreviewModifyBackupPolicy, { BackupRetentionPeriod: '7' })
  assert.equal(after['TotalRecordCount'], total - Number(preview['ExpiringAtOnceCount']))
  assert.equal(after['ExpiringAtOnceCount'], 0)
})
