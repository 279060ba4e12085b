import assert from 'node:assert/strict'
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { itemsOf, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess
let basic: string
let set: string

before(async () => {
  service = await ServiceProcess.open('guards')
  basic = await service.createInstance('Basic')
  await service.query(
    basic,
    'create table t as select g, md5(g::text) x from generate_series(1, 500000) g',
  )
  set = await service.succeed('backup', 'create', basic)
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

/** Serves another configuration than the test's service; it must refuse, so it ends by itself. */
async function refusal(changed: Readonly<Record<string, string>>): Promise<string> {
  const { code, stderr } = await service.run('serve', '--development-clock', changed)
  assert.equal(code, 1)
  return stderr
}

async function taskOf(job: string) {
  const asked = { DBInstanceId: basic, BackupJobId: job }
  return itemsOf(await service.ask('DescribeBackupTasks', asked), 'BackupJob')[0]
}

for (const how of ['SIGTERM', 'SIGKILL'] as const) {
  test(`a backup that runs at a ${how} is taken up again and succeeds`, async () => {
    const { BackupJobId } = await service.ask('CreateBackup', { DBInstanceId: basic })
    await pause(400)
    await service.stop(how)
    await service.start()
    const ended = async () => {
      const status = (await taskOf(String(BackupJobId)))?.['BackupStatus']
      return status === 'Finished' || status === 'Failed'
    }
    await until(ended, 'the job has ended')
    assert.equal((await taskOf(String(BackupJobId)))?.['BackupStatus'], 'Finished')
  })
}

test('a backup that is cancelled at once ends, and leaves no byte', async () => {
  for (let tries = 0; tries < 5; tries += 1) {
    await until(() => service.isRunning(basic), 'the instance runs')
    const { BackupJobId } = await service.ask('CreateBackup', { DBInstanceId: basic })
    await pause(tries * 60)
    const ended = await service.run('backup', 'cancel', basic, String(BackupJobId))
    if (ended.code !== 0) assert.match(ended.stderr, /has ended/)
    const left = await service.ask('DescribeBackupTasks', { DBInstanceId: basic })
    assert.deepEqual(itemsOf(left, 'BackupJob'), [])
  }
  assert.equal((await service.run('verify')).code, 0)
})

test('two restores into one folder: one fills it, the other is refused', async () => {
  const target = join(service.folder, 'twice')
  const restore = () => service.run('restore', '--backup-id', set, '--target-directory', target)
  const both = await Promise.all([restore(), restore()])
  assert.deepEqual(both.map(({ code }) => code).sort(), [0, 1])
  const refused = both.find(({ code }) => code === 1)
  assert.match(refused?.stderr ?? '', /another restore|not empty|exists/)
  assert.ok((await readdir(target)).includes('backup_manifest'))
})

test('verify reads what is stored: a damaged pack is named', async () => {
  const packs = (await readdir(service.storageFolder, { recursive: true })).filter((name) =>
    name.includes('pack-'),
  )
  const pack = join(service.storageFolder, packs[0] ?? '')
  const handle = await open(pack, 'r+')
  const bytes = Buffer.alloc(64)
  await handle.read(bytes, 0, 64, 2000)
  await handle.write(Buffer.alloc(64), 0, 64, 2000)
  const damaged = await service.run('verify')
  assert.equal(damaged.code, 1)
  assert.match(damaged.stdout, /pack-\d+\.0/)
  await handle.write(bytes, 0, 64, 2000)
  await handle.close()
  assert.equal((await service.run('verify')).code, 0)
})

test('operator commands refuse a folder that is no data folder, and leave it alone', async () => {
  const folder = join(service.folder, 'someone-elses')
  await mkdir(folder, { mode: 0o755 })
  await writeFile(join(folder, 'letters.txt'), 'private')
  const asked = await service.run('verify', { HOLDFAST_DATA: folder })
  assert.match(asked.stderr, /is no data folder/)
  assert.match(await refusal({ HOLDFAST_DATA: folder }), /is no data folder, and not empty/)
  assert.deepEqual(await readdir(folder), ['letters.txt'])
  assert.equal((await stat(folder)).mode & 0o777, 0o755)
})

test('a second data folder cannot take over a storage that it did not make', async () => {
  const other = {
    HOLDFAST_DATA: join(service.folder, 'other-data'),
    HOLDFAST_STORAGE: service.storageFolder,
    HOLDFAST_LISTEN: '127.0.0.1:0',
  }
  const before = await readdir(service.storageFolder, { recursive: true })
  assert.match(await refusal(other), /the storage is not empty/)
  assert.deepEqual(await readdir(service.storageFolder, { recursive: true }), before)
})

test('the development clock stops before it leaves the calendar', async () => {
  const { code, stderr } = await service.run('clock', 'advance', '100000000d')
  assert.equal(code, 1)
  assert.match(stderr, /year 9999/)
})

test('all that is wrong with users, folders and files is told at once', async () => {
  const file = join(service.folder, 'a-file')
  await writeFile(file, 'x', { mode: 0o644 })
  const told = await refusal({
    HOLDFAST_DATA: join(service.folder, 'fresh'),
    HOLDFAST_STORAGE: file,
    HOLDFAST_KEY_FILE: file,
    HOLDFAST_SERVER_USER: 'nobody-of-that-name',
    HOLDFAST_REGION: 'Not A Region',
  })
  for (const name of ['REGION', 'STORAGE', 'KEY_FILE', 'SERVER_USER']) {
    assert.match(told, new RegExp(`HOLDFAST_${name}`))
  }
})

test('a missing or foreign key file is refused, and never made anew', async () => {
  await service.stop('SIGTERM')
  const key = join(service.dataFolder, 'key')
  await rename(key, `${key}.kept`)
  assert.match(await refusal({}), /the key file .* is missing/)
  await assert.rejects(stat(key))
  await writeFile(key, `${'ab'.repeat(32)}\n`, { mode: 0o600 })
  assert.match(await refusal({}), /does not open with this key/)
  await rm(key)
  await rename(`${key}.kept`, key)
  await service.start()
})

test('a start that is stopped half way leaves no folder for sockets', async () => {
  await service.stop('SIGTERM')
  for (const afterMs of [300, 600, 900]) {
    const starting = service.start().catch(() => undefined)
    await pause(afterMs)
    await service.stop('SIGTERM')
    await starting
  }
  assert.deepEqual(await readdir(service.socketFolder), [])
  await service.start()
})
