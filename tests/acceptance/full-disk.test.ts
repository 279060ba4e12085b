import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import { CHECKOUT } from '../../src/testing/installed-package.ts'
import { runProgram } from '../../src/testing/run-program.ts'
import { itemsOf, ServiceProcess } from '../../src/testing/service-process.ts'

const MEBIBYTE = 1024 * 1024

let service: ServiceProcess
let instanceId: string
/** The set that was there before the disk took no more. */
let kept: string

before(async () => {
  service = await ServiceProcess.open('full')
  instanceId = await service.createInstance('Basic')
  kept = await service.succeed('backup', 'create', instanceId)
  // Nothing of it is in the set before, and no compression makes it less than the larger limit.
  await service.query(
    instanceId,
    'create table t as select sha512(g::text::bytea) x from generate_series(1, 600000) g',
  )
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

/** From now on a file of that process ends there, as on a disk that is full: half of a write fails. */
async function limitFiles(pid: number, limit: string): Promise<void> {
  const words = ['--pid', String(pid), `--fsize=${limit}`]
  const { code, stderr } = await runProgram('prlimit', words, service.environment, service.folder)
  assert.equal(code, 0, stderr)
}

const PLACES: readonly (readonly [string, number, RegExp])[] = [
  ['spool', MEBIBYTE, /cannot spool write-ahead log to \/.*\/data\/scratch\/.*: EFBIG.*ulimit -f/],
  [
    'storage',
    20 * MEBIBYTE,
    /cannot write object series\/.* to \/.*\/data\/storage: EFBIG.*ulimit -f/,
  ],
]

for (const [index, [place, limitBytes, told]] of PLACES.entries()) {
  test(`a backup whose ${place} takes no more fails with place and advice, and leaves no byte and no slot`, async () => {
    const storedBytes = await sizeOfFiles(service.storageFolder)
    await limitFiles(service.pid, `${limitBytes}:`)
    const { code, stderr } = await service.run('backup', 'create', instanceId)
    assert.equal(code, 1)
    assert.match(stderr, told)

    assert.equal(await sizeOfFiles(service.storageFolder), storedBytes)
    assert.deepEqual(await readdir(join(service.dataFolder, 'scratch')), [])
    const sets = await service.ask('DescribeBackups', { DBInstanceId: instanceId })
    assert.deepEqual(
      itemsOf(sets, 'Backup').map((set) => set['BackupStatus']),
      [...PLACES.slice(0, index + 1).map(() => 'Failed'), 'Success'],
    )
    assert.deepEqual(await service.query(instanceId, 'select from pg_replication_slots'), [])
    assert.equal((await service.run('verify')).code, 0)
  })
}

test('a backup succeeds again once there is room', async () => {
  await limitFiles(service.pid, 'unlimited:')
  await service.succeed('backup', 'create', instanceId)
  assert.equal((await service.run('verify')).code, 0)
})

test('a restore to a disk that takes no more says so, and can be asked for again', async () => {
  const target = join(service.folder, 'restored')
  const words = ['restore', '--backup-id', kept, '--target-directory', target]
  const limited = await runProgram(
    'prlimit',
    [`--fsize=${MEBIBYTE}:`, process.execPath, join(CHECKOUT, 'src/cli/main.ts'), ...words],
    service.environment,
    service.folder,
  )
  assert.equal(limited.code, 1)
  assert.match(limited.stderr, /cannot write into .*restored: EFBIG/)
  assert.match(limited.stderr, /ulimit -f/)
  assert.deepEqual(await readdir(target).catch(() => []), [])
  await service.succeed(...words)
})
