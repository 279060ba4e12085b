import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { LocalServerPlan } from '../../src/engines/engine.ts'
import type { RunningServer } from '../../src/servers/running-server.ts'
import { databaseOf, LocalPostgres } from '../../src/testing/local-postgres.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'
import { withDatabase } from '../../src/testing/with-database.ts'

const ROLE = 'keeper'
const PASSWORD = 'Kp!8 zw_attach'
const ID = 'pgm-orders'

let host: LocalPostgres
let service: ServiceProcess
let primary: LocalServerPlan
let standby: LocalServerPlan
let primaryServer: RunningServer
let standbyServer: RunningServer

before(async () => {
  host = await LocalPostgres.create()
  ;[primary, primaryServer] = await host.startPrimary('orders-1')
  ;[standby, standbyServer] = await host.startStandby('orders-2', primary)
  await ask(primary, `create role ${ROLE} login replication password '${PASSWORD}'`)
  await ask(primary, `grant pg_monitor to ${ROLE}`)
  await ask(primary, 'create table orders as select generate_series(1, 1000) as id')
  service = await ServiceProcess.open('attach')
  await writeFile(passwordFile(), `${PASSWORD}\n`, { mode: 0o600 })
})

after(async () => {
  await service[Symbol.asyncDispose]()
  await host[Symbol.asyncDispose]()
})

const passwordFile = () => join(service.folder, 'password')

function ask(plan: LocalServerPlan, text: string): Promise<Record<string, unknown>[]> {
  return withDatabase(databaseOf(plan), async (client) => (await client.query(text)).rows)
}

function urlOf({ port }: LocalServerPlan, role = ROLE): string {
  return `postgresql://${role}@127.0.0.1:${port}/postgres`
}

function attach(...words: readonly string[]) {
  const given = ['--engine', 'PostgreSQL', '--password-file', passwordFile()]
  return service.run('instance', 'attach', ...given, ...words)
}

async function attributeOf(id: string): Promise<Reply | undefined> {
  const reply = await service.call('DescribeDBInstanceAttribute', { DBInstanceId: id })
  return reply.status === 200 ? itemsOf(reply.parsed as Reply, 'DBInstanceAttribute')[0] : undefined
}

test('a refused attach prints what to change and leaves nothing', async () => {
  const { code, stdout, stderr } = await attach('--primary', urlOf(standby), '--id', ID)
  assert.equal(code, 1)
  assert.equal(stdout, '')
  assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${standby.port}: .*recovery`))
  assert.match(stderr, /→ /)
  assert.equal(await attributeOf(ID), undefined)
})

test('a password on the command line is refused before anything is asked', async () => {
  const url = urlOf(primary).replace('@', ':secret@')
  const { code, stderr } = await attach('--primary', url)
  assert.equal(code, 2)
  assert.match(stderr, /--password-file/)
})

test('all that is wrong with the addresses is told at once, without quoting them', async () => {
  const reply = await service.call('AttachDBInstance', {
    Engine: 'PostgreSQL',
    PrimaryUrl: 'postgresql://keeper:hidden@db.example:5432/x?sslmode=disable',
    StandbyUrls: 'mysql://u:hidden@h postgresql://h?options=x',
    SslCert: 'no certificate',
  })
  assert.equal(reply.status, 400)
  assert.match(reply.body, /sslmode=disable/)
  assert.match(reply.body, /StandbyUrls, number 1/)
  assert.match(reply.body, /StandbyUrls, number 2/)
  assert.match(reply.body, /SslCert holds no certificate/)
  assert.doesNotMatch(reply.body, /hidden/)
  const rated = { Engine: 'PostgreSQL', PrimaryUrl: 'postgresql://u@h', MaxRate: '1' }
  const unrated = await service.call('AttachDBInstance', rated)
  assert.match(unrated.body, /InvalidParameter.*MaxRate: kB per second, 32–1048576/)
})

test('a pair is attached with a role that is no superuser, and backed up', async () => {
  const words = ['--primary', urlOf(primary), '--standby', urlOf(standby), '--id', ID]
  const { code, stdout, stderr } = await attach(...words)
  assert.equal(code, 0, stderr)
  assert.equal(stdout, `${ID}\n`)
  const shown = await attributeOf(ID)
  assert.equal(shown?.['DBInstanceStatus'], 'Running')
  assert.equal(shown?.['Category'], 'HighAvailability')
  assert.equal(shown?.['EngineVersion'], '18')
  assert.equal(shown?.['Port'], String(primary.port))
  await service.succeed('backup', 'create', ID)
  const sets = itemsOf(await service.ask('DescribeBackups', { DBInstanceId: ID }), 'Backup')
  assert.equal(sets[0]?.['HostInstanceID'], `${ID}-2`)
  assert.deepEqual(await ask(primary, 'select * from pg_replication_slots where temporary'), [])
  assert.doesNotMatch(await service.log(), new RegExp(PASSWORD.slice(-12)))
})

test('the same cluster is not attached twice', async () => {
  const { code, stderr } = await attach('--primary', urlOf(primary))
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`attached already, as ${ID}`))
})

test('backups of one database host follow each other, at the rate that the policy sets', async () => {
  const local = await service.createInstance('Basic')
  await service.ask('ModifyBackupPolicy', { DBInstanceId: ID, MaxRate: '16384' })
  const policy = await service.ask('DescribeBackupPolicy', { DBInstanceId: ID })
  assert.equal(policy['MaxRate'], 16384)
  await service.ask('CreateBackup', { DBInstanceId: ID })
  await until(async () => (await progressOf(ID)) > 0, 'the first backup reads')
  await service.ask('CreateBackup', { DBInstanceId: local })
  await until(async () => (await newestOf(local)) !== undefined, 'the second backup has ended')
  assert.notEqual((await newestOf(ID))?.['BackupId'], undefined)
  assert.equal(await progressOf(ID), 0, 'the second one ended after the first')
  await service.ask('ModifyBackupPolicy', { DBInstanceId: ID, MaxRate: '0' })
  await service.ask('DeleteDBInstance', { DBInstanceId: local, ReleasedKeepPolicy: 'None' })
})

/** Percent of the backup that runs; 0 when none does. */
async function progressOf(id: string): Promise<number> {
  const tasks = await service.ask('DescribeBackupTasks', { DBInstanceId: id })
  return Number.parseInt(String(itemsOf(tasks, 'BackupJob')[0]?.['Process'] ?? '0'), 10)
}

async function newestOf(id: string): Promise<Reply | undefined> {
  return itemsOf(await service.ask('DescribeBackups', { DBInstanceId: id }), 'Backup')[0]
}

test('a read-only instance follows its master and has no backups', async () => {
  const of = ['--type', 'Readonly', '--of', ID, '--id', 'pgm-reader']
  const { code, stderr } = await attach('--primary', urlOf(standby), ...of)
  assert.equal(code, 0, stderr)
  const shown = await attributeOf('pgm-reader')
  assert.equal(shown?.['DBInstanceType'], 'Readonly')
  assert.equal(shown?.['MasterInstanceId'], ID)
  const refused = await service.call('CreateBackup', { DBInstanceId: 'pgm-reader' })
  assert.match(refused.body, /ReadDBInstanceNotSupport/)
  const kept = await service.call('DeleteDBInstance', { DBInstanceId: ID })
  assert.match(kept.body, /ChildDBInstanceExists/)
  await service.succeed('instance', 'detach', 'pgm-reader')
})

test('a primary that moved to the known standby is followed', async () => {
  await host.stop(primaryServer)
  await ask(standby, 'select pg_promote()')
  await until(
    async () => (await attributeOf(ID))?.['Port'] === String(standby.port),
    'the new primary is followed',
  )
  assert.equal((await attributeOf(ID))?.['DBInstanceStatus'], 'Running')
  await service.succeed('backup', 'create', ID)
  const sets = itemsOf(await service.ask('DescribeBackups', { DBInstanceId: ID }), 'Backup')
  assert.equal(sets.length, 3)
})

test('deletion protection holds until it is switched off', async () => {
  const protect = (on: string) =>
    service.ask('ModifyDBInstanceDeletionProtection', {
      DBInstanceId: ID,
      DeletionProtection: on,
    })
  await protect('true')
  const refused = await service.call('DeleteDBInstance', { DBInstanceId: ID })
  assert.equal(refused.status, 400)
  assert.match(refused.body, /OperationDenied\.DeletionProtection/)
  assert.equal((await attributeOf(ID))?.['DeletionProtection'], true)
  await protect('false')
})

test('detaching leaves the servers alone, and the sets restorable and under their own rules', async () => {
  const told = await service.succeed('instance', 'detach', ID)
  assert.match(told, new RegExp(`role ${ROLE}`))
  assert.equal(await attributeOf(ID), undefined)
  assert.equal((await ask(standby, 'select count(*)::int as n from orders'))[0]?.['n'], 1000)
  const detached = await service.ask('DescribeDetachedBackups', { Region: 'local' })
  const sets = itemsOf(detached, 'Backup')
  assert.equal(sets.length, 3)
  const [newest, , oldest] = sets.map((set) => String(set['BackupId']))
  const young = await service.call('DeleteBackup', { DBInstanceId: ID, BackupId: oldest ?? '' })
  assert.match(young.body, /BackupSetDeleteNotSupport/)
  await service.succeed('clock', 'advance', '8d')
  await service.ask('DeleteBackup', { DBInstanceId: ID, BackupId: oldest ?? '' })
  const target = join(service.folder, 'restored')
  await service.succeed('restore', '--backup-id', newest ?? '', '--target-directory', target)
  await until(async () => (await service.run('verify')).code === 0, 'the bytes are given back')
})

test('an instance whose servers are gone is detached only when told that they cannot be reached', async () => {
  const id = 'pgm-lost'
  const { code, stderr } = await attach('--primary', urlOf(standby), '--id', id)
  assert.equal(code, 0, stderr)
  await host.stop(standbyServer)
  const status = async () => (await attributeOf(id))?.['DBInstanceStatus']
  await until(async () => (await status()) === 'Stopped', 'three probes have failed')
  const refused = await service.run('instance', 'detach', id)
  assert.match(refused.stderr, /IncorrectDBInstanceState/)
  const told = await service.succeed('instance', 'detach', id, '--unreachable')
  assert.match(told, /to be removed there by hand/)
  assert.equal(await attributeOf(id), undefined)
})

test('a local instance with sets is deleted by an explicit policy only', async () => {
  const local = await service.createInstance('Basic')
  await service.succeed('backup', 'create', local)
  const refused = await service.call('DeleteDBInstance', { DBInstanceId: local })
  assert.match(refused.body, /InvalidReleasedKeepPolicy\.Format/)
  await service.ask('DeleteDBInstance', { DBInstanceId: local, ReleasedKeepPolicy: 'None' })
  await until(async () => (await attributeOf(local)) === undefined, 'the instance is gone')
  await until(async () => (await service.run('verify')).code === 0, 'the bytes are given back')
  const detached = await service.ask('DescribeDetachedBackups', {
    Region: 'local',
    DBInstanceId: local,
  })
  assert.deepEqual(itemsOf(detached, 'Backup'), [])
})
