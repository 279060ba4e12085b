import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import { refused } from '../../src/testing/refusals.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'
import type { CallReply } from '../../src/wire/client.ts'

let service: ServiceProcess
let pair: string
let basic: string
/** Sets of the pair, oldest first. */
const sets: string[] = []
let basicSet: string

before(async () => {
  service = await ServiceProcess.open('delete-backup')
  pair = await service.createInstance('HighAvailability')
  basic = await service.createInstance('Basic')
  const sql = new pg.Client({
    connectionString: await service.succeed('instance', 'connect', pair),
  })
  await sql.connect()
  await sql.query('create table t as select g, md5(g::text) x from generate_series(1, 20000) g')
  for (let day = 0; day < 5; day += 1) {
    await sql.query(`update t set x = md5(x) where g % 5 = ${day}`)
    sets.push(await service.succeed('backup', 'create', pair))
    if (day === 2) basicSet = await service.succeed('backup', 'create', basic)
    if (day < 4) await service.succeed('clock', 'advance', '2d')
  }
  await sql.end()
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

function deleteBackup(backupId: string, more: Record<string, string> = {}) {
  return service.call('DeleteBackup', { DBInstanceId: pair, BackupId: backupId, ...more })
}

async function listed(): Promise<readonly Reply[]> {
  return itemsOf(await service.ask('DescribeBackups', { DBInstanceId: pair }), 'Backup')
}

/** The service's log lines of this message about the request of `reply`. */
async function loggedFor(reply: CallReply, message: string): Promise<readonly Reply[]> {
  const { RequestId } = reply.parsed as Reply
  const lines = (await service.log()).split('\n').filter((line) => line.startsWith('{'))
  return lines
    .map((line) => JSON.parse(line) as Reply)
    .filter((line) => line['message'] === message && line['requestId'] === RequestId)
}

test('D25: StoreStatus says what DeleteBackup answers, for every set', async () => {
  for (const set of await listed()) {
    const preview = await service.ask('PreviewDeleteBackup', {
      DBInstanceId: pair,
      BackupId: String(set['BackupId']),
    })
    assert.equal(preview['Deletable'], set['StoreStatus'] === 'Enabled')
  }
})

test('D11: a young set is refused with rule, evidence and the time from which it may go', async () => {
  const message = await refused(
    await deleteBackup(sets[4] ?? ''),
    403,
    'OperationDenied.BackupSetDeleteNotSupport',
  )
  assert.match(message, /^The Specified backup does not support this operation\./)
  assert.match(message, /D11 set-old-enough.*needs more than 7 d.*deletable from 20/)
})

test('D17: one young set refuses the whole batch, and nothing changes', async () => {
  const before = await listed()
  await refused(
    await deleteBackup(`${sets[0]},${sets[4]}`),
    403,
    'OperationDenied.BackupSetDeleteNotSupport',
  )
  assert.deepEqual(await listed(), before)
})

test('D7 before D11: an unknown ID in a batch with a young one is a 404', async () => {
  const message = await refused(
    await deleteBackup(`${sets[4]},99,${sets[0]}`),
    404,
    'InvalidBackupSetID.NotFound',
  )
  assert.match(message, /backup set 99/)
})

test('D6: a set of a Basic instance is refused', async () => {
  const reply = await service.call('DeleteBackup', { DBInstanceId: basic, BackupId: basicSet })
  await refused(reply, 403, 'IncorrectDBInstanceType')
})

test('D7, D22: a set of another instance is unknown here', async () => {
  await refused(await deleteBackup(basicSet), 404, 'InvalidBackupSetID.NotFound')
})

const BAD_IDS = [
  ['no parameter at all', null, 400, 'MissingBackupId'],
  ['an empty one', '', 400, 'MissingBackupId'],
  ['commas and blanks', ' , ,,', 400, 'ParameterLeastAssociate'],
  ['text', 'abc', 404, 'InvalidBackupSetID.NotFound'],
  ['a number with zeros before it', '00100000001', 404, 'InvalidBackupSetID.NotFound'],
  ['20 digits', '12345678901234567890', 404, 'InvalidBackupSetID.NotFound'],
  ['another prefix', 'pgm-other:1', 404, 'InvalidBackupSetID.NotFound'],
] as const

for (const [title, id, status, code] of BAD_IDS) {
  test(`D13, D15: refuses BackupId of ${title}`, async () => {
    const parameters = { DBInstanceId: pair, ...(id === null ? {} : { BackupId: id }) }
    await refused(await service.call('DeleteBackup', parameters), status, code)
  })
}

test('D14, D16: counts distinct IDs: 100 are looked at, 101 are too many, after the instance', async () => {
  const many = Array.from({ length: 101 }, (_, index) => String(index + 1))
  const hundred = many.slice(1).join(',')
  await refused(await deleteBackup(hundred), 404, 'InvalidBackupSetID.NotFound')
  await refused(await deleteBackup(`${hundred},${hundred}`), 404, 'InvalidBackupSetID.NotFound')
  await refused(await deleteBackup(many.join(',')), 400, 'DeleteBackupSetNumExceed')
  const onBasic = { DBInstanceId: basic, BackupId: many.join(',') }
  await refused(await service.call('DeleteBackup', onBasic), 403, 'IncorrectDBInstanceType')
})

test('D1: an unknown instance is a 404', async () => {
  const reply = await service.call('DeleteBackup', { DBInstanceId: 'pgm-x', BackupId: '1' })
  await refused(reply, 404, 'InvalidDBInstanceName.NotFound')
})

test('D18: no parameter makes a delete harmless: DryRun is refused however it is spelt', async () => {
  const before = await listed()
  for (const name of ['DryRun', 'dryrun', 'DRYRUN', 'dry_run', 'Dry-Run']) {
    for (const value of ['true', 'false', '']) {
      const reply = await deleteBackup(sets[0] ?? '', { [name]: value })
      assert.match(await refused(reply, 400, 'InvalidParameter'), /use PreviewDeleteBackup/)
    }
  }
  assert.deepEqual(await listed(), before)
})

test('D19: a parameter that nobody knows is ignored, whatever it is called', async () => {
  const reply = await deleteBackup(sets[4] ?? '', { Force: 'true', OwnerId: '1', Nonsense: '' })
  await refused(reply, 403, 'OperationDenied.BackupSetDeleteNotSupport')
})

test('a refusal is logged once, with its rule, whether it is of the instance or of a set', async () => {
  const hundredAndOne = Array.from({ length: 101 }, (_, index) => String(index + 1)).join(',')
  const refusals = [
    ['D1 instance-known', 'pgm-x', '1'],
    ['D6 category-supported', basic, basicSet],
    ['D7 set-known', pair, '99'],
    ['D11 set-old-enough', pair, sets[4] ?? ''],
    ['D16', pair, hundredAndOne],
  ] as const
  for (const [rule, instanceId, ids] of refusals) {
    const reply = await service.call('DeleteBackup', { DBInstanceId: instanceId, BackupId: ids })
    const [line, ...more] = await loggedFor(reply, 'deletion refused')
    assert.deepEqual([line?.['rule'], more], [rule.split(' ')[0], []])
    assert.equal(line?.['code'], (reply.parsed as Reply)['Code'])
    assert.ok(String(line?.['detail']).includes(rule.split(' ')[1] ?? '101'))
  }
})

test('a BackupId that names no set lists none', async () => {
  for (const BackupId of [',', ' ', 'abc', `${pair}:`]) {
    const shown = await service.ask('DescribeBackups', { DBInstanceId: pair, BackupId })
    assert.deepEqual([itemsOf(shown, 'Backup'), shown['TotalRecordCount']], [[], '0'])
  }
})

test('D21, D25, I6: gives exactly the foretold bytes back, and a repeated delete is a 404', async () => {
  const asked = { DBInstanceId: pair, BackupId: ` ${pair}:${sets[0]} ,${sets[0]},` }
  const preview = await service.ask('PreviewDeleteBackup', asked)
  assert.equal(preview['RemainingBackupCount'], 4)
  assert.equal(preview['BytesExact'], true)
  const before = await sizeOfFiles(service.storageFolder)
  const reply = await service.call('DeleteBackup', asked)
  assert.equal(reply.status, 200, reply.body)
  assert.equal((await listed()).length, 4)
  const logged = await loggedFor(reply, 'sets deleted')
  assert.deepEqual(
    logged.map((line) => [line['backupIds'], line['freedBytes']]),
    [[[sets[0]], preview['FreedBytes']]],
  )
  const after = before - Number(preview['FreedBytes'])
  await until(async () => (await sizeOfFiles(service.storageFolder)) === after, 'bytes are back')
  await refused(await deleteBackup(sets[0] ?? ''), 404, 'InvalidBackupSetID.NotFound')
  assert.equal((await service.run('verify')).code, 0)
})

test('retention changes show in the policy at once, and logs cannot be switched on', async () => {
  await service.ask('ModifyBackupPolicy', {
    DBInstanceId: pair,
    PreferredBackupTime: '02:00Z-03:00Z',
    PreferredBackupPeriod: 'Friday,Monday',
    BackupRetentionPeriod: '30',
    BackupLog: 'Disabled',
  })
  const policy = await service.ask('DescribeBackupPolicy', { DBInstanceId: pair })
  assert.equal(policy['BackupRetentionPeriod'], 30)
  assert.equal(policy['PreferredBackupPeriod'], 'Monday,Friday')
  assert.match(String(policy['PreferredNextBackupTime']), /^20\d\d-\d\d-\d\dT02:\d\dZ$/)
  assert.equal(policy['EnableIncrementDataBackup'], false)
  const logMode = { BackupPolicyMode: 'LogBackupPolicy' }
  for (const on of [
    { BackupLog: 'Enable' },
    { BackupLog: 'Enable', ...logMode },
    { EnableBackupLog: '1', ...logMode },
    { EnableBackupLog: 'True', ...logMode },
  ]) {
    const reply = await service.call('ModifyBackupPolicy', { DBInstanceId: pair, ...on })
    await refused(reply, 400, 'UnsupportedOperation')
  }
  await service.ask('ModifyBackupPolicy', {
    DBInstanceId: pair,
    EnableBackupLog: '0',
    ...logMode,
  })
  const bad = await service.call('ModifyBackupPolicy', {
    DBInstanceId: pair,
    BackupRetentionPeriod: '6',
  })
  await refused(bad, 400, 'InvalidBackupRetentionPeriod.Malformed')
})

const CODES_OF_AN_UNKNOWN_INSTANCE = [
  ['CreateBackup', 404, 'InvalidDBInstanceName.NotFound'],
  ['DeleteBackup', 404, 'InvalidDBInstanceName.NotFound'],
  ['DescribeBackupPolicy', 404, 'InvalidDBInstanceName.NotFound'],
  ['DescribeBackups', 404, 'InvalidDBInstanceName.NotFound'],
  ['DescribeBackupTasks', 404, 'InvalidDBInstanceName.NotFound'],
  ['DescribeDBInstanceAttribute', 400, 'InvalidDBInstanceId.NotFound'],
  ['ModifyBackupPolicy', 400, 'InvalidDBInstanceId.NotFound'],
] as const

for (const [action, status, code] of CODES_OF_AN_UNKNOWN_INSTANCE) {
  test(`${action} refuses an unknown instance with ${status} ${code}`, async () => {
    const reply = await service.call(action, { DBInstanceId: 'pgm-x', BackupId: '1' })
    await refused(reply, status, code)
  })
}
