import assert from 'node:assert/strict'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess
let pair: string

before(async () => {
  service = await ServiceProcess.open('service-life')
  pair = await service.createInstance()
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

const query = (text: string) => service.query(pair, text)

/** The pid of the primary's postmaster. */
async function primaryPid(): Promise<number> {
  const file = `select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid`
  return (await query(file))[0]?.['pid'] as number
}

test('health names catalogue, queue and storage; GET / shows the development clock', async () => {
  const health = (await (await fetch(`${service.endpoint}/healthz`)).json()) as Reply
  assert.equal(health['status'], 'ok')
  for (const name of ['catalogue', 'queue', 'storage']) {
    assert.match(JSON.stringify(health), new RegExp(name))
  }
  await service.succeed('clock', 'advance', '1d')
  const root = (await (await fetch(service.endpoint)).json()) as Reply
  assert.ok(Number(root['DevelopmentClockOffsetSeconds']) >= 86400)
})

test('a second service on the same data folder says so and exits', async () => {
  const { code, stderr } = await service.run('serve', '--development-clock')
  assert.equal(code, 1)
  assert.match(stderr, /another process serves the data folder/)
  assert.equal((await fetch(`${service.endpoint}/healthz`)).status, 200)
})

test('SIGTERM stops everything that was started, with exit code 0', async () => {
  const primary = await primaryPid()
  assert.equal(await service.stop('SIGTERM'), 0)
  await assert.rejects(stat(`/proc/${primary}`))
  assert.doesNotMatch(await service.log(), /testAccessKeySecret/)
  await service.start()
  await until(() => service.isRunning(pair), 'the pair runs')
})

test('a data folder with a development clock is refused without it', async () => {
  await service.stop('SIGTERM')
  const { code, stderr } = await service.run('serve')
  assert.equal(code, 1)
  assert.match(stderr, /was made with a development clock/)
  await service.start()
})

test('the clock never goes back and survives restarts', async () => {
  const before = await service.succeed('clock', 'advance', '1h')
  await service.stop('SIGTERM')
  assert.equal((await service.run('clock', 'advance', '-1h')).code, 2)
  // Without a running service the command starts the catalogue itself.
  const seconds = (text: string) => Number(/([\d.]+) s ahead/.exec(text)?.[1])
  assert.equal(seconds(await service.succeed('clock', 'advance', '1s')), seconds(before) + 1)
  await service.start()
})

test('a crashed database server is started again', async () => {
  await until(() => service.isRunning(pair), 'the pair runs')
  const primary = await primaryPid()
  process.kill(primary, 'SIGKILL')
  await until(async () => {
    const pid = await primaryPid().catch(() => primary)
    return pid !== primary
  }, 'another primary answers')
  await until(() => service.isRunning(pair), 'the status is Running')
})

test('SIGKILL leaves servers running, and the next start takes over from them', async () => {
  await until(() => service.isRunning(pair), 'the pair runs')
  const primary = await primaryPid()
  await service.stop('SIGKILL')
  assert.ok(await stat(`/proc/${primary}`))
  await service.start()
  await until(async () => {
    const pid = await primaryPid().catch(() => primary)
    return pid !== primary
  }, 'a supervised primary answers')
})

test('a cancelled backup leaves a failed run with its cause, no set and no bytes', async () => {
  await until(() => service.isRunning(pair), 'the pair runs')
  await query(
    'create table big as select g, md5(g::text) a, md5((g+1)::text) b from generate_series(1, 3000000) g',
  )
  const before = await sizeOfFiles(service.storageFolder)
  const { BackupJobId } = await service.ask('CreateBackup', { DBInstanceId: pair })
  const again = await service.call('CreateBackup', { DBInstanceId: pair })
  assert.equal((again.parsed as Reply)['Code'], 'BackupJobExists')
  const job = { DBInstanceId: pair, BackupJobId: String(BackupJobId) }
  await until(async () => {
    const [task] = itemsOf(await service.ask('DescribeBackupTasks', job), 'BackupJob')
    return task?.['BackupStatus'] === 'Uploading'
  }, 'the backup uploads')
  assert.equal(await service.succeed('backup', 'cancel', pair, String(BackupJobId)), 'Failed')
  assert.equal(await sizeOfFiles(service.storageFolder), before)
  const [failed] = itemsOf(await service.ask('DescribeBackups', { DBInstanceId: pair }), 'Backup')
  assert.equal(failed?.['BackupStatus'], 'Failed')
  assert.equal(failed?.['StoreStatus'], 'Disabled')
  assert.equal(failed?.['FailureReason'], 'cancelled on request')
  const refused = await service.call('DeleteBackup', {
    DBInstanceId: pair,
    BackupId: String(failed?.['BackupId']),
  })
  assert.equal((refused.parsed as Reply)['Code'], 'OperationDenied.BackupSetDeleteNotSupport')
  await service.succeed('clock', 'advance', '8d')
  const listed = itemsOf(await service.ask('DescribeBackups', { DBInstanceId: pair }), 'Backup')
  assert.deepEqual(listed, [])
})

test('restores refuse what is not empty, and what is not there', async () => {
  const set = await service.succeed('backup', 'create', pair)
  const full = join(service.folder, 'full')
  await mkdir(join(full, 'something'), { recursive: true })
  const restore = (id: string, directory: string) =>
    service.run('restore', '--backup-id', id, '--target-directory', directory)
  assert.match((await restore(set, full)).stderr, /is not empty/)
  const none = join(service.folder, 'none')
  assert.match((await restore('99', none)).stderr, /no restorable backup set 99/)
  await assert.rejects(stat(none))
  assert.equal((await restore(set, none)).code, 0)
})

test('an instance of each installed major can be made, and of no other', async () => {
  const engine = { Engine: 'PostgreSQL', Category: 'Basic' }
  const refused = await service.call('CreateDBInstance', { ...engine, EngineVersion: '14' })
  assert.equal((refused.parsed as Reply)['Code'], 'InvalidEngineVersion.Malformed')
  assert.match(refused.body, /15, 16, 17, 18/)
  const words = ['--engine', 'PostgreSQL', '--engine-version', '15', '--category', 'Basic']
  const old = await service.succeed('instance', 'create', ...words)
  const [row] = await service.query(old, 'show server_version')
  assert.match(String(row?.['server_version']), /^15\./)
  const set = await service.succeed('backup', 'create', old)
  const target = join(service.folder, 'of-15')
  await service.succeed('restore', '--backup-id', set, '--target-directory', target)
  assert.equal(await readFile(join(target, 'PG_VERSION'), 'utf8'), '15\n')
})
