import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import { locateBinaries } from '../../src/servers/binaries.ts'
import { freePort } from '../../src/servers/free-port.ts'
import { startPostgres } from '../../src/servers/postgres-server.ts'
import { giveTreeToUser, resolveServerUser } from '../../src/servers/server-user.ts'
import { type PseudoRandom, pseudoRandom } from '../../src/testing/pseudo-random.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'
import { askDatabase } from '../../src/testing/with-database.ts'

/** `HOLDFAST_SEED=n` chooses the moments; `HOLDFAST_KILLS=n` how many there are. */
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1 + (process.pid % 1000))
const KILLS = Number(process.env['HOLDFAST_KILLS'] ?? 6)

let service: ServiceProcess
let pair: string
/** What the table's checksum was when the set was asked for. */
const expected = new Map<string, string>()

before(async () => {
  service = await ServiceProcess.open('kill')
  pair = await service.createInstance()
  await query('create table t as select g, md5(g::text) x from generate_series(1, 300000) g')
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

const query = (text: string) => service.query(pair, text)

const CHECKSUM = "select md5(string_agg(x, ',' order by g)) as sum from t"

async function listed(): Promise<readonly Reply[]> {
  return itemsOf(await service.ask('DescribeBackups', { DBInstanceId: pair }), 'Backup')
}

async function ended(): Promise<boolean> {
  const tasks = await service.ask('DescribeBackupTasks', { DBInstanceId: pair })
  return itemsOf(tasks, 'BackupJob').length === 0
}

async function killAndRestart(afterMs: number): Promise<void> {
  await pause(afterMs)
  await service.stop('SIGKILL')
  await service.start()
}

/** Storage, catalogue and mark and sweep agree, once nothing is left to do. */
async function settled(): Promise<boolean> {
  const { code, stdout } = await service.run('verify')
  return code === 0 && !stdout.includes('intended')
}

test(`D20, D23, I10: kill -9 at random moments loses no set and leaves no byte (seed ${SEED})`, async () => {
  const random = pseudoRandom(SEED)
  for (let kill = 0; kill < KILLS; kill += 1) {
    await until(() => service.isRunning(pair), 'the pair runs')
    if (random.once(2)) await killDuringBackup(random)
    else await killDuringDelete(random)
    await until(ended, 'the backup job has ended')
    await noteSets()
    await until(settled, 'catalogue and storage agree')
  }
  await restoreSome(random)
})

async function killDuringBackup(random: PseudoRandom): Promise<void> {
  await query(`update t set x = md5(x) where g % 7 = ${random.below(7)}`)
  const [row] = await query(CHECKSUM)
  await service.ask('CreateBackup', { DBInstanceId: pair })
  pending = String(row?.['sum'])
  await killAndRestart(random.below(2500))
}

/** The checksum of the set that a job is about to make: nothing changes the table meanwhile. */
let pending: string | null = null

async function noteSets(): Promise<void> {
  for (const set of await listed()) {
    const id = String(set['BackupId'])
    assert.equal(set['BackupStatus'], 'Success', 'a killed backup is taken up again')
    if (!expected.has(id) && pending !== null) expected.set(id, pending)
  }
  pending = null
  assert.deepEqual(
    (await listed()).map((set) => String(set['BackupId'])).sort(),
    [...expected.keys()].sort(),
    'no set is lost and none is made twice',
  )
}

async function killDuringDelete(random: PseudoRandom): Promise<void> {
  await service.succeed('clock', 'advance', '8d')
  const sets = (await listed()).map((set) => String(set['BackupId']))
  const chosen = sets.filter(() => random.once(2))
  if (chosen.length === 0) return killAndRestart(0)
  const asked = { DBInstanceId: pair, BackupId: chosen.join(',') }
  const preview = await service.ask('PreviewDeleteBackup', asked)
  const before = await sizeOfFiles(service.storageFolder)
  await service.ask('DeleteBackup', asked)
  for (const id of chosen) expected.delete(id)
  await killAndRestart(random.below(60))
  const after = before - Number(preview['FreedBytes'])
  await until(async () => (await sizeOfFiles(service.storageFolder)) === after, 'bytes are back')
}

async function restoreSome(random: PseudoRandom): Promise<void> {
  const ids = [...expected.keys()]
  if (ids.length === 0) return
  for (const id of new Set([ids[0] ?? '', random.pick(ids)])) {
    const directory = join(service.folder, `restored-${id}`)
    await service.succeed('restore', '--backup-id', id, '--target-directory', directory)
    assert.equal(await checksumOf(directory, id), expected.get(id))
  }
}

async function checksumOf(directory: string, id: string): Promise<string> {
  const root = process.getuid?.() === 0
  const user = await resolveServerUser(root ? 'nobody' : null, process.getuid?.() ?? -1)
  await giveTreeToUser(directory, user)
  const binaries = await locateBinaries('18', user, join(service.folder, 'binaries'))
  const socketDirectory = join(service.folder, `socket-${id}`)
  const port = await freePort()
  await using server = await startPostgres(
    {
      directory,
      binaries,
      user,
      port,
      listen: 'loopback',
      socketDirectory,
      logFile: join(service.folder, `restored-${id}.log`),
    },
    new AbortController().signal,
  )
  const url = new URL(await service.succeed('instance', 'connect', pair))
  url.port = String(server.port)
  // Awaited here, so that the server lives until it has answered.
  return await askDatabase({ connectionString: url.href }, [CHECKSUM])
}
