import assert from 'node:assert/strict'
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Secret } from '../../src/base/secret.ts'
import type { Finished } from '../../src/testing/run-program.ts'
import { CatalogueDatabase, processOn } from '../../src/testing/service-cluster.ts'
import { type Reply, ServiceProcess } from '../../src/testing/service-process.ts'

let database: CatalogueDatabase
let folder: string
/** The first one: role all, with neither a configured key nor a folder of its own. */
let service: ServiceProcess
let others = 0

const NO_KEY = { HOLDFAST_ACCESS_KEY_ID: '', HOLDFAST_ACCESS_KEY_SECRET: '' }

before(async () => {
  database = await CatalogueDatabase.open()
  folder = await database.host.folder('shared')
  service = await processOn(database, folder, 'all', 'first', NO_KEY)
  await service.start()
})

after(async () => {
  await service?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
})

type Changes = Readonly<Record<string, string>>

/** A start that must fail; gives its words. */
async function refused(words: readonly string[], changed: Changes, code = 1): Promise<string> {
  const run: Finished = await service.run('serve', ...words, changed)
  assert.equal(run.code, code, run.stderr)
  assert.doesNotMatch(run.stdout + run.stderr, /cluster(:|%3A)/, 'the password is not shown')
  return run.stderr
}

/** What another host has: the same storage and key file, and a data folder of its own. */
async function elsewhere(changed: Changes = {}): Promise<Changes> {
  others += 1
  const data = join(folder, `elsewhere-${others}`)
  await mkdir(data)
  return {
    HOLDFAST_DATA: data,
    HOLDFAST_STORAGE: service.storageFolder,
    HOLDFAST_KEY_FILE: join(service.dataFolder, 'key'),
    ...changed,
  }
}

test('a role is refused without a catalogue that can be shared, before anything is made', async () => {
  const data = join(folder, 'none')
  for (const role of ['api', 'worker']) {
    const changed = { HOLDFAST_DATABASE_URL: '', HOLDFAST_DATA: data }
    assert.match(
      await refused(['--role', role], changed),
      new RegExp(`--role ${role} shares its catalogue.*set HOLDFAST_DATABASE_URL`),
    )
  }
  await assert.rejects(stat(data), { code: 'ENOENT' })
})

test('a role that does not exist, and a development clock of a part, are wrong usage', async () => {
  assert.match(await refused(['--role', 'both'], {}, 2), /--role is one of all, api, worker/)
  for (const role of ['api', 'worker']) {
    const words = ['--role', role, '--development-clock']
    assert.match(await refused(words, {}, 2), /--development-clock needs --role all/)
  }
})

test('a URL that cannot be read is told together with what else is wrong', async () => {
  const url = 'postgresql://u:cluster%3Asecret@h/d?sslmode=always'
  const told = await refused(['--role', 'api'], {
    HOLDFAST_DATABASE_URL: url,
    HOLDFAST_REGION: 'Not One',
  })
  assert.match(told, /HOLDFAST_DATABASE_URL has an sslmode/)
  assert.match(told, /HOLDFAST_REGION/)
  assert.doesNotMatch(told, /shares its catalogue/)
})

test('a wrong password, an absent server and an absent database are told with advice', async () => {
  const given = new URL(database.url())
  const changed = (change: (url: URL) => void) => {
    const url = new URL(given)
    change(url)
    return { HOLDFAST_DATABASE_URL: url.href }
  }
  const wrong = await refused(
    [],
    changed((url) => {
      url.password = 'nonsense'
    }),
  )
  assert.match(wrong, /password authentication failed.*\n.*check the password/)
  const absent = await refused(
    [],
    changed((url) => {
      url.port = '1'
    }),
  )
  assert.match(absent, /ECONNREFUSED.*\n.*check HOLDFAST_DATABASE_URL/)
  const unmade = await refused(
    [],
    changed((url) => {
      url.pathname = '/nothing'
    }),
  )
  assert.match(unmade, /does not exist.*\n.*create the database/)
})

test('another key file is refused, and none is made', async () => {
  const absent = join(folder, 'other-key')
  const changed = await elsewhere({ HOLDFAST_KEY_FILE: absent })
  assert.match(await refused(['--role', 'api'], changed), /key file .* is missing/)
  await assert.rejects(stat(absent), { code: 'ENOENT' })
  await writeFile(absent, `${'ab'.repeat(32)}\n`, { mode: 0o600 })
  assert.match(await refused(['--role', 'worker'], changed), /does not open with this key/)
})

test('a storage of another repository, or an empty one, is refused', async () => {
  const empty = join(folder, 'empty')
  await mkdir(empty)
  const told = await refused(['--role', 'worker'], await elsewhere({ HOLDFAST_STORAGE: empty }))
  assert.match(
    told,
    /there is no repository\.json in the storage\n.*whether the storage is mounted/,
  )
  assert.deepEqual(await readdir(empty), [])
  await database.create('second')
  const fresh = { HOLDFAST_DATABASE_URL: database.url('second') }
  assert.match(
    await refused([], await elsewhere(fresh)),
    /the storage is not empty, and the catalogue does not know it\n.*HOLDFAST_DATABASE_URL/,
  )
})

test('a data folder whose catalogue is elsewhere does not begin one of its own', async () => {
  const own = { HOLDFAST_DATABASE_URL: '' }
  assert.match(await refused([], own), /catalogue of .* is not in it.*\n.*catalogue\.elsewhere/)
  const verify = await service.run('verify', own)
  assert.match(verify.stderr, /set HOLDFAST_DATABASE_URL as it was/)
  await assert.rejects(stat(join(service.dataFolder, 'catalogue')), { code: 'ENOENT' })
})

test('a data folder with a catalogue of its own is refused another one, and goes on with its own', async () => {
  await using own = await ServiceProcess.open('own')
  await database.create('third')
  await own.stop('SIGTERM')
  const words = ['serve', '--development-clock']
  const run = await own.run(...words, { HOLDFAST_DATABASE_URL: database.url('third') })
  assert.equal(run.code, 1)
  assert.match(run.stdout, /the catalogue in the data folder is not used/)
  assert.match(run.stderr, /the storage is not empty, and the catalogue does not know it/)
  await own.start()
})

test('a service made without a development clock has none, in any role', async () => {
  const told = await refused(['--development-clock'], {})
  assert.match(told, /was not made with a development clock/)
  assert.equal((await service.run('clock', 'advance', '1d')).code, 1)
})

test('a development clock works on a shared catalogue, and then no part of it starts alone', async () => {
  await database.create('moving')
  const data = join(folder, 'moving')
  const changed = { HOLDFAST_DATABASE_URL: database.url('moving'), HOLDFAST_DATA: data }
  await using moving = await processOn(database, folder, 'all', 'moving', changed, [
    '--development-clock',
  ])
  await moving.start()
  assert.match(await moving.succeed('clock', 'advance', '8d'), /691200 s ahead/)
  const root = (await (await fetch(moving.endpoint)).json()) as Reply
  assert.equal(root['DevelopmentClockOffsetSeconds'], 8 * 24 * 3600)
  const api = await refused(['--role', 'api'], changed)
  assert.match(api, /was made with a development clock\n.*--role all/)
})

test('the access key of the first process stays, and another one says where it is', async () => {
  const key = JSON.parse(await readFile(join(service.dataFolder, 'access-key.json'), 'utf8'))
  const id = String(key.accessKeyId)
  const changed: Changes = { ...(await elsewhere()), ...NO_KEY }
  await using second = await processOn(database, folder, 'api', 'second', changed)
  await second.start()
  assert.match(await second.log(), /the access key was made by another process/)
  assert.match(await second.log(), new RegExp(id))
  const own = join(changed['HOLDFAST_DATA'] ?? '', 'access-key.json')
  await assert.rejects(stat(own), { code: 'ENOENT' })
  const known = { accessKeyId: id }
  const secret = { accessKeySecret: new Secret(String(key.accessKeySecret)) }
  const call = () => second.call('DescribeRegions', {}, { ...known, ...secret })
  assert.equal((await call()).status, 200)
  await second.stop('SIGTERM')
  await copyFile(join(service.dataFolder, 'access-key.json'), own)
  await second.start()
  assert.equal((await second.log()).split('made by another process').length, 2, 'told no more')
  assert.equal((await call()).status, 200)
})

test('operator commands work with and without a running service, and make no catalogue', async () => {
  const verify = async () => JSON.parse(await service.succeed('verify')) as Reply
  assert.deepEqual((await verify())['problems'], [])
  await service.stop('SIGTERM')
  assert.deepEqual((await verify())['problems'], [])
  await database.create('untouched')
  const told = await service.run('verify', { HOLDFAST_DATABASE_URL: database.url('untouched') })
  assert.equal(told.code, 1)
  assert.match(told.stderr, /no service was ever started with this HOLDFAST_DATABASE_URL/)
  await service.start()
})

test('receipts are read and checked where there is neither the storage nor a file of heads', async () => {
  const instance = await service.createInstance('Basic')
  const change = ['--DBInstanceId', instance, '--BackupRetentionPeriod', '8']
  await service.succeed('call', 'ModifyBackupPolicy', ...change)
  const there: Changes = { ...(await elsewhere()), HOLDFAST_STORAGE: '' }
  const run = async (...words: readonly string[]) => {
    const { code, stdout, stderr } = await service.run('receipts', ...words, there)
    assert.equal(code, 0, stderr)
    return stdout
  }
  assert.match(await run('list'), new RegExp(`${instance}.*modify-policy`))
  assert.match(await run('export'), new RegExp(instance))
  const alone = JSON.parse(await run('verify')) as Reply
  assert.deepEqual([alone['problems'], alone['heads']], [[], null])
  assert.match(String(alone['note']), /--heads/)
  const copy = join(folder, 'copy.json')
  await copyFile(join(service.dataFolder, 'receipt-heads.json'), copy)
  const compared = JSON.parse(await run('verify', '--heads', copy)) as Reply
  assert.deepEqual(compared['problems'], [])
  assert.equal((compared['heads'] as Reply)['chains'], 1)
  assert.deepEqual(await readdir(String(there['HOLDFAST_DATA'])), [])
})

test('a catalogue of a newer version is refused', async () => {
  await service.stop('SIGTERM')
  await database.ask(`insert into kysely_migration values ('9999-from-the-future', now()::text)`)
  assert.match(await refused([], {}), /made by a newer version/)
  await database.ask(`delete from kysely_migration where name like '9999%'`)
  await service.start()
})

test('what a killed process left in its scratch folder is removed, of a living one never', async () => {
  const scratch = join(service.dataFolder, 'scratch')
  const [killed] = (await readdir(scratch)).filter((name) => !name.endsWith('.lock'))
  assert.ok(killed)
  await writeFile(join(scratch, killed, 'left'), 'x')
  await service.stop('SIGKILL')
  await using next = await processOn(database, folder, 'worker', 'next', NO_KEY)
  await next.start()
  const [living, ...more] = (await readdir(scratch)).filter((name) => !name.endsWith('.lock'))
  assert.deepEqual(more, [])
  assert.notEqual(living, killed)
  await service.start()
  assert.ok((await readdir(scratch)).includes(living ?? ''))
  assert.equal((await readdir(scratch)).length, 4)
})
