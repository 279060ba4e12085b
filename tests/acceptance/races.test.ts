import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openServiceCluster, type ServiceCluster } from '../../src/testing/service-cluster.ts'
import {
  itemsOf,
  type Reply,
  type ServiceProcess,
  until,
} from '../../src/testing/service-process.ts'

const DAY_MS = 86_400_000
const ROUNDS = 8

let cluster: ServiceCluster
let instance: string
/** All old enough to be deleted by hand, unless a test says otherwise. */
const sets: string[] = []

before(async () => {
  const changed = { HOLDFAST_UNDELETE_WINDOW: '24h', HOLDFAST_PAUSE: 'backups' }
  cluster = await openServiceCluster({ apis: 2, workers: 2 }, changed)
  instance = await makeInstance()
  await api(0).query(
    instance,
    'create table t as select g, md5(g::text) x from generate_series(1, 200000) g',
  )
  for (let round = 0; round < 4; round += 1) sets.push(await backUp(instance))
  await makeOld(30)
})

after(async () => {
  await cluster?.[Symbol.asyncDispose]()
})

function api(index: number): ServiceProcess {
  const found = cluster.apis[index % cluster.apis.length]
  assert.ok(found)
  return found
}

async function makeInstance(): Promise<string> {
  const made = await api(0).createInstance('Basic')
  const policy = { BackupRetentionPeriod: '730', AllowManualDelete: 'true' }
  await api(0).ask('ModifyBackupPolicy', { DBInstanceId: made, ...policy })
  return made
}

async function backUp(of: string): Promise<string> {
  await api(0).query(of, 'create table if not exists t (g int, x text)')
  await api(0).query(of, 'update t set x = md5(x) where g % 7 = 0')
  return api(0).succeed('backup', 'create', of)
}

/** There is no development clock with roles: what has to be old is made so in the catalogue. */
async function makeOld(days: number): Promise<void> {
  await cluster.database.ask(
    `update backup_set set started_at = started_at - ${days * DAY_MS},
       finished_at = finished_at - ${days * DAY_MS}, consistent_at = consistent_at - ${days * DAY_MS}
     where finished_at > (extract(epoch from now()) * 1000)::bigint - ${DAY_MS}`,
  )
}

interface Act {
  readonly action: string
  readonly parameters: Readonly<Record<string, string>>
}

const on = (BackupId: string) => ({ DBInstanceId: instance, BackupId })
const deletes = (ids: string): Act => ({ action: 'DeleteBackup', parameters: on(ids) })
const undeletes = (ids: string): Act => ({ action: 'UndeleteBackup', parameters: on(ids) })
const purges = (ids: string): Act => ({ action: 'PurgeDeletedBackup', parameters: on(ids) })
const holds = (id: string): Act => ({
  action: 'HoldBackup',
  parameters: { ...on(id), Reason: 'race' },
})

/** All at once, each through another API process; the codes in their order. */
async function atOnce(...acts: readonly Act[]): Promise<readonly string[]> {
  const replies = await Promise.all(
    acts.map(({ action, parameters }, index) => api(index).call(action, parameters)),
  )
  return replies.map(({ status, parsed, body }) => {
    assert.ok(status < 500, body)
    return status === 200 ? 'OK' : String((parsed as Reply)['Code'])
  })
}

async function stateOf(id: string): Promise<string> {
  return cluster.database.ask(`select state from backup_set where set_id = ${id}`)
}

async function receiptCount(of = instance): Promise<number> {
  return Number(
    await cluster.database.ask(`select count(*) from receipt where instance_id = '${of}'`),
  )
}

async function bringBack(): Promise<void> {
  for (const id of sets) {
    if ((await stateOf(id)) === 'deleted') await api(0).ask('UndeleteBackup', on(id))
  }
  const held = await api(0).ask('DescribeBackupHolds', { DBInstanceId: instance })
  for (const { HoldId } of itemsOf(held, 'BackupHold')) {
    await api(0).ask('ReleaseBackupHold', { DBInstanceId: instance, HoldId: String(HoldId) })
  }
}

const GONE = 'InvalidBackupSetID.NotFound'
const STATE = 'IncorrectBackupSetState'
const DENIED = 'OperationDenied.BackupSetDeleteNotSupport'

interface Race {
  readonly title: string
  /** Before the race begins. */
  readonly first?: (ids: readonly string[]) => Promise<unknown>
  readonly acts: (ids: readonly string[]) => readonly Act[]
  /** Codes of the acts, then the states of the first two sets: what serial orders lead to. */
  readonly serial: readonly string[]
}

const RACES: readonly Race[] = [
  {
    title: 'F1: of two deletions of overlapping sets one wins, and the other changes nothing',
    acts: ([a, b, c]) => [deletes(`${a},${b}`), deletes(`${b},${c}`)],
    serial: [`OK ${GONE} deleted deleted`, `${GONE} OK kept deleted`],
  },
  {
    title: 'F2: of four deletions of one set exactly one is accepted',
    acts: ([a]) => [deletes(`${a}`), deletes(`${a}`), deletes(`${a}`), deletes(`${a}`)],
    serial: [0, 1, 2, 3].map((winner) => {
      const codes = [0, 1, 2, 3].map((index) => (index === winner ? 'OK' : GONE))
      return `${codes.join(' ')} deleted kept`
    }),
  },
  {
    title: 'F3: a deletion and an undelete of a deleted set',
    first: ([a]) => api(0).ask('DeleteBackup', on(`${a}`)),
    acts: ([a]) => [deletes(`${a}`), undeletes(`${a}`)],
    serial: [`${GONE} OK kept kept`, 'OK OK deleted kept'],
  },
  {
    title: 'F4: a deletion and a hold: a held set stays, a deleted one is not held',
    acts: ([a, b]) => [deletes(`${a},${b}`), holds(`${a}`)],
    serial: [`OK ${GONE} deleted deleted`, `${DENIED} OK kept kept`],
  },
  {
    title: 'F5: a deletion and a change of policy that forbids it',
    acts: ([a]) => [
      deletes(`${a}`),
      {
        action: 'ModifyBackupPolicy',
        parameters: { DBInstanceId: instance, AllowManualDelete: 'false' },
      },
    ],
    serial: ['OK OK deleted kept', 'IncorrectDBInstanceType OK kept kept'],
  },
  {
    title: 'F6: deletions from both ends keep the minimum that the policy asks for',
    first: () =>
      api(0).ask('ModifyBackupPolicy', { DBInstanceId: instance, MinimumBackupSets: '3' }),
    acts: ([a, b]) => [deletes(`${a}`), deletes(`${b}`)],
    serial: [`OK ${DENIED} deleted kept`, `${DENIED} OK kept deleted`],
  },
]

for (const { title, first, acts, serial } of RACES) {
  test(title, async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await bringBack()
      const policy = { AllowManualDelete: 'true', MinimumBackupSets: '0' }
      await api(0).ask('ModifyBackupPolicy', { DBInstanceId: instance, ...policy })
      await first?.(sets)
      const before = await receiptCount()
      const codes = await atOnce(...acts(sets))
      const states = [await stateOf(sets[0] ?? ''), await stateOf(sets[1] ?? '')]
      const outcome = [...codes, ...states].join(' ')
      assert.ok(serial.includes(outcome), outcome)
      const accepted = codes.filter((code) => code === 'OK').length
      assert.equal(
        (await receiptCount()) - before,
        accepted,
        'one receipt for each that was accepted',
      )
    }
  })
}

test('F7: of an undelete and a purge of the same set one wins, and the bytes follow it', async () => {
  for (let round = 0; round < 3; round += 1) {
    await bringBack()
    const id = await backUp(instance)
    await makeOld(30)
    await api(0).ask('DeleteBackup', on(id))
    const [undelete, purge] = await atOnce(undeletes(id), purges(id))
    const outcome = `${undelete} ${purge}`
    assert.ok([`OK ${STATE}`, `${GONE} OK`].includes(outcome), outcome)
    if (purge === 'OK') {
      await until(async () => (await stateOf(id)) === 'purged', 'the set is purged')
    } else {
      assert.equal(await stateOf(id), 'kept')
      sets.push(id)
    }
  }
  assert.equal((await api(0).run('verify')).code, 0)
})

test('F13: a deletion and a purge of the same set: it is deleted, and purged only after that', async () => {
  for (let round = 0; round < 3; round += 1) {
    await bringBack()
    const id = await backUp(instance)
    await makeOld(30)
    const before = await receiptCount()
    const [deletion, purge] = await atOnce(deletes(id), purges(id))
    const outcome = `${deletion} ${purge}`
    assert.ok([`OK ${STATE}`, 'OK OK'].includes(outcome), outcome)
    if (purge === 'OK') {
      await until(async () => (await stateOf(id)) === 'purged', 'the set is purged')
    } else {
      assert.equal(await stateOf(id), 'deleted')
      assert.equal((await receiptCount()) - before, 1)
      sets.push(id)
    }
  }
  assert.equal((await api(0).run('verify')).code, 0)
})

test('F8: a restore and a deletion: the restored files are whole, or the set was gone before', async () => {
  for (let round = 0; round < 4; round += 1) {
    await bringBack()
    const id = sets[0] ?? ''
    const target = join(cluster.folder, `race-${round}`)
    const restoring = api(0).run('restore', '--backup-id', id, '--target-directory', target)
    const codes: string[] = []
    let over = false
    const restored = restoring.finally(() => {
      over = true
    })
    while (!over && codes.at(-1) !== 'OK') codes.push(...(await atOnce(deletes(id), deletes(id))))
    const { code, stderr } = await restored
    if (code !== 0) assert.match(stderr, /no restorable backup set/)
    assert.ok(
      codes.every((one) => ['OK', DENIED, GONE].includes(one)),
      codes.join(' '),
    )
    await rm(target, { recursive: true, force: true })
  }
})

test('F9: a backup whose base is deleted and purged meanwhile is whole', async () => {
  await bringBack()
  const base = await backUp(instance)
  await makeOld(30)
  const { BackupJobId } = await api(0).ask('CreateBackup', { DBInstanceId: instance })
  const job = { DBInstanceId: instance, BackupJobId: String(BackupJobId) }
  const statusOf = async () =>
    String(itemsOf(await api(1).ask('DescribeBackupTasks', job), 'BackupJob')[0]?.['BackupStatus'])
  await until(async () => (await statusOf()) !== 'NoStart', 'the backup runs')
  await api(0).ask('DeleteBackup', on(base))
  await api(1).ask('PurgeDeletedBackup', on(base))
  await until(async () => (await statusOf()) === 'Finished', 'the backup has succeeded')
  await until(async () => (await stateOf(base)) === 'purged', 'the base is purged')
  assert.equal((await api(0).run('verify')).code, 0)
  await makeOld(30)
})

test('F10: a set that expiry and a hand delete at the same moment is deleted once', async () => {
  for (let round = 0; round < 2; round += 1) {
    await bringBack()
    const id = await backUp(instance)
    const newest = await backUp(instance)
    await cluster.database.ask(
      `update backup_set set finished_at = finished_at - ${800 * DAY_MS} where set_id = ${id}`,
    )
    let deleted = 0
    await until(async () => {
      const codes = await atOnce(deletes(id), deletes(id))
      deleted += codes.filter((code) => code === 'OK').length
      return (await stateOf(id)) === 'deleted'
    }, 'the set is deleted')
    const told = await cluster.database.ask(
      `select count(*) from receipt where instance_id = '${instance}'
         and kind in ('delete', 'expire') and body like '%"backupIds":["${id}"]%'`,
    )
    assert.equal(told, '1', `${deleted} by hand`)
    await makeOld(30)
    sets.push(newest)
  }
})

test('F11: a deletion and the removal of the instance: each set goes once, and is told once', async () => {
  for (let round = 0; round < 2; round += 1) {
    const other = await makeInstance()
    const ids = [await backUp(other), await backUp(other)]
    await makeOld(30)
    const named = { DBInstanceId: other, BackupId: ids.join(',') }
    const codes = await atOnce(
      { action: 'DeleteBackup', parameters: named },
      {
        action: 'DeleteDBInstance',
        parameters: { DBInstanceId: other, ReleasedKeepPolicy: 'None' },
      },
    )
    assert.equal(codes[1], 'OK')
    assert.ok(['OK', 'IncorrectDBInstanceState', GONE].includes(codes[0] ?? ''), codes.join(' '))
    const removed = async () =>
      (await cluster.database.ask(
        `select count(*) from receipt where instance_id = '${other}' and kind = 'remove-instance'`,
      )) === '1'
    await until(removed, 'the instance is removed')
    for (const id of ids) assert.equal(await stateOf(id), 'deleted')
    const told = await cluster.database.ask(
      `select count(*) from receipt where instance_id = '${other}' and kind = 'delete'`,
    )
    assert.equal(told, '1')
  }
})

test('F12: after all of it receipts, catalogue and storage agree', async () => {
  await bringBack()
  assert.equal((await api(0).run('receipts', 'verify')).code, 0)
  assert.equal((await api(1).run('verify')).code, 0)
  for (const service of [...cluster.apis, ...cluster.workers]) {
    assert.doesNotMatch(await service.log(), /InternalError|broken invariant|deadlock detected/)
  }
})
