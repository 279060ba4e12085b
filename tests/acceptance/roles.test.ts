import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  openServiceCluster,
  processOn,
  type ServiceCluster,
} from '../../src/testing/service-cluster.ts'
import {
  itemsOf,
  type Reply,
  type ServiceProcess,
  until,
} from '../../src/testing/service-process.ts'
import { send, signedV1 } from '../../src/testing/signed-request.ts'

let cluster: ServiceCluster
let pair: string
let api: ServiceProcess
let otherApi: ServiceProcess

before(async () => {
  cluster = await openServiceCluster()
  const [first, second] = cluster.apis
  assert.ok(first && second)
  api = first
  otherApi = second
  pair = await api.createInstance()
  await api.query(
    pair,
    `create table big as
       select g, md5(g::text) a, md5((g + 1)::text) b from generate_series(1, 1500000) g`,
  )
})

after(async () => {
  await cluster?.[Symbol.asyncDispose]()
})

const instance = () => ({ DBInstanceId: pair })

async function isWell(service: ServiceProcess): Promise<boolean> {
  const health = await fetch(`${service.endpoint}/healthz`).catch(() => null)
  return health?.status === 200
}

/** The lines of a worker's log, of jobs of this kind. */
async function jobLines(worker: ServiceProcess, kind: string): Promise<readonly Reply[]> {
  const lines = (await worker.log()).split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Reply).filter((line) => line['job'] === kind)
}

/** The workers, the one that began the latest attempt at the job first; null before it was begun. */
async function byWork(job: string): Promise<readonly ServiceProcess[] | null> {
  const attempts = await Promise.all(
    cluster.workers.map(async (worker) => {
      const lines = await jobLines(worker, 'take-backup')
      const begun = lines.filter(({ jobId, attempt }) => String(jobId) === job && attempt)
      return { worker, attempt: Number(begun.at(-1)?.['attempt'] ?? 0) }
    }),
  )
  const sorted = attempts.toSorted((left, right) => right.attempt - left.attempt)
  return sorted[0]?.attempt === 0 ? null : sorted.map(({ worker }) => worker)
}

async function askForBackup(): Promise<string> {
  return String((await api.ask('CreateBackup', instance()))['BackupJobId'])
}

async function isUploading(job: string): Promise<boolean> {
  const tasks = await otherApi.ask('DescribeBackupTasks', { ...instance(), BackupJobId: job })
  return itemsOf(tasks, 'BackupJob')[0]?.['BackupStatus'] === 'Uploading'
}

async function succeeded(): Promise<number> {
  const sets = itemsOf(await otherApi.ask('DescribeBackups', instance()), 'Backup')
  assert.deepEqual(
    sets.filter((set) => set['BackupStatus'] !== 'Success'),
    [],
  )
  return sets.length
}

/** By whom the servers of local instances run. */
async function keeper(): Promise<ServiceProcess> {
  const started: [worker: ServiceProcess, at: string][] = []
  for (const worker of cluster.workers) {
    const lines = (await worker.log()).split('\n')
    const line = lines.findLast((each) => each.includes('database server started'))
    if (line) started.push([worker, String((JSON.parse(line) as Reply)['time'])])
  }
  const [last] = started.toSorted(([, left], [, right]) => right.localeCompare(left))
  assert.ok(last)
  return last[0]
}

test('what is made once is made once, though all started at the same moment', async () => {
  for (const service of [...cluster.apis, ...cluster.workers]) assert.ok(await isWell(service))
  assert.equal(await cluster.database.ask('select count(*) from access_key'), '1')
  assert.equal(await cluster.database.ask(`select count(*) from object where kind = 'header'`), '1')
  await assert.rejects(stat(join(api.dataFolder, 'catalogue')), { code: 'ENOENT' })
})

test('a set that was asked for at one API is listed by the other, and verifies', async () => {
  const set = await api.succeed('backup', 'create', pair)
  assert.match(await otherApi.succeed('backup', 'list', pair), new RegExp(`^${set} .*Success`))
  const checked = JSON.parse(await api.succeed('verify')) as Reply
  assert.deepEqual(checked['problems'], [])
  const directory = join(cluster.folder, 'restored')
  const restore = ['restore', '--backup-id', set, '--target-directory', directory]
  assert.match(await otherApi.succeed(...restore), /all verified/)
})

test('a nonce that one API has seen is refused by the other', async () => {
  const request = (endpoint: string) => signedV1(endpoint, { SignatureNonce: 'the-same-one-twice' })
  assert.equal((await send(request(api.endpoint))).status, 200)
  assert.equal((await send(request(otherApi.endpoint))).code, 'SignatureNonceUsed')
})

test('the backup of a worker that was killed is taken over by the other, and succeeds', async () => {
  const before = await succeeded()
  const job = await askForBackup()
  await until(() => isUploading(job), 'the backup uploads')
  const [killed, other] = (await byWork(job)) ?? []
  assert.ok(killed && other)
  await killed.stop('SIGKILL')
  await until(async () => (await byWork(job))?.[0] === other, 'it is taken over', 30_000)
  await until(async () => (await succeeded()) === before + 1, 'the backup succeeds')
  await killed.start()
})

test('local servers pass to the other worker when theirs ends, killed or not', async () => {
  for (const how of ['SIGKILL', 'SIGTERM'] as const) {
    const left = await keeper()
    await left.stop(how)
    await until(async () => (await keeper()) !== left, 'the other worker has started them')
    await until(() => api.isRunning(pair), 'the pair runs')
    await left.start()
  }
})

test('a worker that hangs keeps its servers, and gives them over when it goes on', async () => {
  const hung = await keeper()
  const other = cluster.workers.find((worker) => worker !== hung)
  assert.ok(other)
  const waits = async () => (await other.log()).split('another process still runs').length
  const before = await waits()
  process.kill(hung.pid, 'SIGSTOP')
  try {
    await until(async () => (await waits()) > before, 'the other worker waits for them')
    assert.ok(await api.isRunning(pair))
  } finally {
    process.kill(hung.pid, 'SIGCONT')
  }
  await until(async () => (await keeper()) === other, 'the other worker has started them')
  await until(() => api.isRunning(pair), 'the pair runs')
})

test('a worker of another host leaves alone the servers whose files it does not have', async () => {
  const far = await processOn(cluster.database, cluster.folder, 'worker', 'far', {
    HOLDFAST_DATA: join(cluster.folder, 'far'),
    HOLDFAST_STORAGE: api.storageFolder,
    HOLDFAST_KEY_FILE: join(api.dataFolder, 'key'),
  })
  await using _far = far
  await Promise.all(cluster.workers.map((worker) => worker.stop('SIGTERM')))
  await far.start()
  const told = async () => (await far.log()).includes('a local server is not in this data folder')
  await until(told, 'the other host says so')
  assert.deepEqual(await readdir(join(cluster.folder, 'far', 'instances')), [])
  assert.doesNotMatch(await far.log(), /does not start/)
  await Promise.all(cluster.workers.map((worker) => worker.start()))
  await far.stop('SIGTERM')
  await until(() => api.isRunning(pair), 'the pair runs')
})

test('a catalogue that goes away and comes back ends nothing', async () => {
  const all = [...cluster.apis, ...cluster.workers]
  const pids = all.map(({ pid }) => pid)
  const before = await succeeded()
  const job = await askForBackup()
  await until(() => isUploading(job), 'the backup uploads')
  await cluster.database.stop()
  const refused = await api.call('DescribeDBInstances')
  assert.equal(refused.status, 503)
  assert.equal((refused.parsed as Reply)['Code'], 'ServiceUnavailable')
  for (const service of all) assert.equal(await isWell(service), false)
  await cluster.database.start()
  for (const service of all) await until(() => isWell(service), 'it is well again')
  await until(async () => (await succeeded()) === before + 1, 'the backup succeeds')
  await until(() => api.isRunning(pair), 'the pair runs')
  assert.ok(await otherApi.succeed('backup', 'create', pair))
  assert.deepEqual(
    all.map(({ pid }) => pid),
    pids,
  )
  for (const pid of pids) assert.ok(await stat(`/proc/${pid}`))
})

test('a removed instance leaves no server and no directory, whichever worker runs it', async () => {
  const made = await otherApi.createInstance('Basic')
  const directory = join(api.dataFolder, 'instances', `${made}-1`)
  assert.ok(await stat(directory))
  await api.succeed('instance', 'detach', made)
  await assert.rejects(stat(directory), { code: 'ENOENT' })
})

test('a worker tells its health and metrics, and has no API', async () => {
  const [worker] = cluster.workers
  assert.ok(worker)
  const metrics = await (await fetch(`${worker.endpoint}/metrics`)).text()
  assert.match(metrics, /^holdfast_catalogue_up 1$/m)
  assert.equal((await fetch(worker.endpoint)).status, 404)
})

test('every process ends with exit code 0, and leaves nothing in the scratch folder', async () => {
  const all = [...cluster.apis, ...cluster.workers]
  const codes = await Promise.all(all.map((service) => service.stop('SIGTERM')))
  assert.deepEqual(codes, [0, 0, 0, 0])
  assert.deepEqual(await readdir(join(api.dataFolder, 'scratch')), [])
  assert.deepEqual(await readdir(api.socketFolder), [])
  for (const service of all) {
    assert.doesNotMatch(await service.log(), /cluster(:|%3A)|testAccessKeySecret/)
  }
})
