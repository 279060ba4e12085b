import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { DataFolder } from '../../src/app/data-folder.ts'
import { openDataFolder } from '../../src/app/data-folder.ts'
import { startCatalogue } from '../../src/app/open-catalogue.ts'
import { startService } from '../../src/app/service.ts'
import { openCatalogueBench, openWorkbench } from '../../src/app/workbench.ts'
import { DAY_MS, pause } from '../../src/base/clock.ts'
import { isFault } from '../../src/base/fault.ts'
import { SILENT } from '../../src/base/logger.ts'
import { Secret } from '../../src/base/secret.ts'
import type { Connection } from '../../src/catalogue/database.ts'
import { type Config, loadConfig } from '../../src/config/config.ts'
import { resolveServerAccounts } from '../../src/servers/accounts.ts'
import { freePort } from '../../src/servers/free-port.ts'
import { readMajor } from '../../src/servers/major-upgrade.ts'
import type { ServerUser } from '../../src/servers/server-user.ts'
import { itemsOf, type Reply, until } from '../../src/testing/service-process.ts'
import { type TemporaryFolder, temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { withDatabase } from '../../src/testing/with-database.ts'
import { callApi } from '../../src/wire/client.ts'

const UID = process.getuid?.() ?? -1
const { signal } = new AbortController()
let folder: TemporaryFolder
let config: Config
let user: ServerUser | null
let instanceId: string
/** Taken while the catalogue was one of PostgreSQL 17, oldest first. */
const sets: string[] = []

before(async () => {
  folder = await temporaryFolder('upgrade')
  const environment = {
    HOLDFAST_DATA: join(folder.path, 'data'),
    HOLDFAST_LISTEN: `127.0.0.1:${await freePort()}`,
    HOLDFAST_ACCESS_KEY_ID: 'testAccessKeyId',
    HOLDFAST_ACCESS_KEY_SECRET: 'testAccessKeySecret',
    ...(UID === 0 ? { HOLDFAST_SERVER_USER: 'nobody', HOLDFAST_CATALOGUE_USER: 'daemon' } : {}),
  }
  config = loadConfig(environment, folder.path, UID === 0).config
  user = (await resolveServerAccounts(config, UID)).catalogue
  await using _service = await startService(
    config,
    { role: 'all', developmentClock: true, catalogueMajor: 17 },
    SILENT,
    signal,
  )
  const made = await ask('CreateDBInstance', {
    Engine: 'PostgreSQL',
    EngineVersion: '18',
    Category: 'HighAvailability',
  })
  instanceId = String(made['DBInstanceId'])
  await until(async () => {
    const shown = await ask('DescribeDBInstanceAttribute', { DBInstanceId: instanceId })
    return itemsOf(shown, 'DBInstanceAttribute')[0]?.['DBInstanceStatus'] === 'Running'
  }, 'a running instance')
  for (let count = 0; count < 3; count += 1) sets.push(await takeSet())
})

after(async () => {
  await folder[Symbol.asyncDispose]()
})

async function ask(action: string, parameters: Record<string, string>): Promise<Reply> {
  const reply = await callApi({
    endpoint: `http://127.0.0.1:${config.listen.port}`,
    accessKeyId: 'testAccessKeyId',
    accessKeySecret: new Secret('testAccessKeySecret'),
    action,
    parameters,
    format: 'JSON',
    signal: AbortSignal.timeout(30_000),
  })
  assert.equal(reply.status, 200, reply.body)
  return reply.parsed as Reply
}

async function listSets(): Promise<string[]> {
  const reply = await ask('DescribeBackups', { DBInstanceId: instanceId })
  return itemsOf(reply, 'Backup').map((set) => String(set['BackupId']))
}

async function takeSet(): Promise<string> {
  const known = await listSets()
  await ask('CreateBackup', { DBInstanceId: instanceId })
  let fresh: string | undefined
  await until(async () => {
    fresh = (await listSets()).find((set) => !known.includes(set))
    return fresh !== undefined
  }, 'a new set')
  return String(fresh)
}

/** A data folder with a copy of the catalogue alone, and nothing of what it speaks of. */
async function copyOfCatalogue(name: string): Promise<DataFolder> {
  const copy = await openDataFolder(join(folder.path, name), user !== null)
  for (const part of ['catalogue', 'catalogue-password']) {
    const from = join(folder.path, 'source', part)
    const [code] = await once(spawn('cp', ['-a', from, copy.root]), 'exit')
    assert.equal(code, 0)
  }
  return copy
}

/** Every row of every table, the queue's not, and where the identities are. */
async function contentOf(connection: Connection): Promise<Record<string, unknown>> {
  const configuration = { ...connection, password: connection.password.reveal() }
  return withDatabase(configuration, async (client) => {
    const content: Record<string, unknown> = {}
    const { rows } = await client.query(`select oid::regclass::text as name, relkind as kind
      from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'S')
      and relname not like 'kysely%'`)
    for (const { name, kind } of rows) {
      const what = kind === 'S' ? '(last_value, is_called)' : 't'
      const lines = await client.query(`select ${what}::text as line from ${name} t order by 1`)
      content[name] = lines.rows
    }
    return content
  })
}

async function openAndRead(copy: DataFolder, major?: number): Promise<Record<string, unknown>> {
  await using embedded = await startCatalogue(copy, user, SILENT, signal, major)
  return await contentOf(embedded.catalogue.connection)
}

async function cataloguesIn(copy: DataFolder): Promise<string[]> {
  return (await readdir(copy.root)).filter((name) => /^catalogue(\.|$)/.test(name)).sort()
}

/** Starts the upgrade in a process of its own and kills it as soon as `path` is there. */
async function killWhen(copy: DataFolder, path: string): Promise<void> {
  const source = `
    import { startCatalogue } from '${new URL('../../src/app/open-catalogue.ts', import.meta.url)}'
    import { SILENT } from '${new URL('../../src/base/logger.ts', import.meta.url)}'
    const [copy, user] = JSON.parse(process.argv[1])
    await startCatalogue(copy, user, SILENT, new AbortController().signal)`
  const words = ['--input-type=module', '-e', source, JSON.stringify([copy, user])]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  await until(async () => {
    assert.equal(child.exitCode, null, 'the upgrade is under way')
    return (await stat(join(copy.root, path)).catch(() => null)) !== null
  }, path)
  child.kill('SIGKILL')
  await exited
}

describe('a catalogue of an earlier major', () => {
  let content: Record<string, unknown>

  before(async () => {
    const source = join(folder.path, 'source')
    const [code] = await once(spawn('cp', ['-a', config.dataDirectory, source]), 'exit')
    assert.equal(code, 0)
    const copy = await copyOfCatalogue('before')
    assert.equal(await readMajor(copy.catalogue), 17)
    content = await openAndRead(copy, 17)
    assert.equal((content['backup_set'] as unknown[]).length, 3)
    assert.ok('job_job_id_seq' in content)
  })

  it('keeps every row and where its identities are, and the old one beside it', async () => {
    const copy = await copyOfCatalogue('whole')
    assert.deepEqual(await openAndRead(copy), content)
    assert.equal(await readMajor(copy.catalogue), 18)
    assert.equal(await readMajor(`${copy.catalogue}.17`), 17)
    assert.deepEqual(await cataloguesIn(copy), ['catalogue', 'catalogue.17'])
    assert.deepEqual(await openAndRead(copy), content)
  })

  const moments: [string, string][] = [
    ['the new directory is begun', 'catalogue.18.draft'],
    ['the old server runs', 'catalogue/postmaster.pid'],
    ['the new server runs', 'catalogue.18.draft/postmaster.pid'],
    ['the old directory goes aside', 'catalogue.17'],
  ]
  for (const [index, [moment, path]] of moments.entries()) {
    it(`is upgraded by the next start when the first is killed as ${moment}`, async () => {
      const copy = await copyOfCatalogue(`killed-${index}`)
      await killWhen(copy, path)
      await pause(index * 50)
      assert.deepEqual(await openAndRead(copy), content)
      assert.equal(await readMajor(copy.catalogue), 18)
      assert.deepEqual(await cataloguesIn(copy), ['catalogue', 'catalogue.17'])
    })
  }

  it('takes its new name at the next start when a kill came between the two renames', async () => {
    const copy = await copyOfCatalogue('between')
    await openAndRead(copy)
    await rename(copy.catalogue, `${copy.catalogue}.18`)
    await openDataFolder(copy.root, user !== null)
    assert.deepEqual(await openAndRead(copy), content)
    assert.deepEqual(await cataloguesIn(copy), ['catalogue', 'catalogue.17'])
  })

  it('is copied again when the old one may have been used since its copy', async () => {
    const copy = await copyOfCatalogue('stale')
    await openAndRead(copy)
    await rename(copy.catalogue, `${copy.catalogue}.18`)
    await writeFile(join(`${copy.catalogue}.18`, 'stale'), '')
    await rename(`${copy.catalogue}.17`, copy.catalogue)
    assert.deepEqual(await openAndRead(copy), content)
    await assert.rejects(stat(join(copy.catalogue, 'stale')), /ENOENT/)
  })

  const refusals: [string, RegExp, (copy: DataFolder) => Promise<unknown>][] = [
    [
      'of a later major than this version knows',
      /made by PostgreSQL 19, this is 18/,
      (copy) => writeFile(join(copy.catalogue, 'PG_VERSION'), '19\n'),
    ],
    [
      'whose programs are not installed',
      /made by PostgreSQL 14, whose programs are needed/,
      (copy) => writeFile(join(copy.catalogue, 'PG_VERSION'), '14\n'),
    ],
    [
      'that is damaged where it names its version',
      /names no version/,
      (copy) => writeFile(join(copy.catalogue, 'PG_VERSION'), ''),
    ],
    [
      'with the one of an earlier upgrade in the way',
      /catalogue\.17, which an earlier upgrade kept, is in the way/,
      (copy) => writeFile(`${copy.catalogue}.17`, ''),
    ],
    [
      'that lies there only under the name of an old one',
      /catalogue is missing, but .*catalogue\.17 is there/,
      (copy) => rename(copy.catalogue, `${copy.catalogue}.17`),
    ],
  ]
  for (const [index, [title, sentence, damage]] of refusals.entries()) {
    it(`is refused with advice, and left alone, ${title}`, async () => {
      const copy = await copyOfCatalogue(`refused-${index}`)
      await damage(copy)
      const names = await cataloguesIn(copy)
      await assert.rejects(
        openAndRead(copy),
        (error) => isFault(error) && sentence.test(error.message),
      )
      assert.deepEqual(await cataloguesIn(copy), names)
      await rm(copy.root, { recursive: true })
    })
  }

  it('serves on: IDs go on, sets are deleted, and every stored byte is in order', async () => {
    {
      await using _service = await startService(
        config,
        { role: 'all', developmentClock: true },
        SILENT,
        signal,
      )
      assert.equal(await readMajor(join(config.dataDirectory, 'catalogue')), 18)
      assert.deepEqual((await listSets()).sort(), sets.toSorted())
      const next = await takeSet()
      assert.equal(Number(next), Number(sets.at(-1)) + 1)
      await using operator = await openCatalogueBench(config, SILENT, signal)
      await operator.advanceClock(10 * DAY_MS)
      await ask('DeleteBackup', { DBInstanceId: instanceId, BackupId: String(sets[0]) })
      assert.deepEqual((await listSets()).sort(), [...sets.slice(1), next].sort())
    }
    await using workbench = await openWorkbench(config, SILENT, signal)
    const { problems } = await workbench.verify(true, signal)
    assert.deepEqual(problems, [])
  })
})
