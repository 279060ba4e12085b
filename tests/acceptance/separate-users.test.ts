import assert from 'node:assert/strict'
import { chown, lstat, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import pg from 'pg'
import { readUsers } from '../../src/servers/server-user.ts'
import { itemsOf, ServiceProcess, until } from '../../src/testing/service-process.ts'

/** Only root can keep the two apart; anyone else must be told that they are not. */
const ROOT = process.getuid?.() === 0

let service: ServiceProcess
let instanceId: string
let superuser: pg.Client

before(async () => {
  service = await ServiceProcess.open('users', ROOT ? { HOLDFAST_CATALOGUE_USER: 'daemon' } : {})
  instanceId = await service.createInstance('Basic')
  await service.ask('CreateBackup', { DBInstanceId: instanceId })
  await until(async () => {
    const reply = await service.ask('DescribeBackups', { DBInstanceId: instanceId })
    return itemsOf(reply, 'Backup').length > 0
  }, 'a set')
  const connectionString = await service.succeed('instance', 'connect', instanceId)
  superuser = new pg.Client({ connectionString })
  await superuser.connect()
  // It goes down with its server at the end.
  superuser.on('error', () => {})
})

after(async () => {
  await superuser.end()
  await service[Symbol.asyncDispose]()
})

/** What the superuser of the local instance gets from a statement: 'read', or why not. */
async function attempt(statement: string): Promise<string> {
  try {
    await superuser.query(statement)
    return 'read'
  } catch (error) {
    return String(error)
  }
}

async function socketFolder(): Promise<string> {
  const text = await readFile(join(service.dataFolder, 'running.json'), 'utf8')
  return join((JSON.parse(text) as { socketRoot: string }).socketRoot, 'catalogue')
}

/** Everything that must not be readable, as a file or as a folder. */
async function secretPlaces(): Promise<{ files: string[]; folders: string[] }> {
  const data = service.dataFolder
  const packs = await readdir(service.storageFolder, { recursive: true, withFileTypes: true })
  const stored = packs.find((entry) => entry.isFile())
  const names = ['key', 'catalogue-password', 'running.json', 'logs/catalogue.log']
  return {
    files: [
      ...names.map((name) => join(data, name)),
      join(data, 'catalogue', 'PG_VERSION'),
      join(data, 'catalogue', 'global', 'pg_control'),
      join(stored?.parentPath ?? 'no object is stored', stored?.name ?? ''),
      `/proc/${service.pid}/environ`,
    ],
    folders: [join(data, 'catalogue'), service.storageFolder, join(data, 'scratch'), data],
  }
}

/** A shell's exit code shows whether it could do it; what it does not read would break the pipe. */
function program(command: string): string {
  return `copy (select 1) to program 'cat > /dev/null; ${command.replaceAll("'", "''")}'`
}

describe('the superuser of a local instance', () => {
  it('reads what is its own, so that a refusal below means something', async () => {
    assert.equal(await attempt(program('test -r PG_VERSION')), 'read')
    assert.equal(await attempt(`select pg_read_file('PG_VERSION')`), 'read')
    assert.equal(await attempt(`select lo_import('PG_VERSION')`), 'read')
    assert.equal(await attempt(`select pg_ls_dir('.')`), 'read')
  })

  it('reads neither catalogue nor storage nor keys nor environment, or the start said so', async () => {
    const { files, folders } = await secretPlaces()
    const log = await service.log()
    const warned = /Warning: .*superuser of a local instance can read and change/.test(log)
    assert.equal(warned, !ROOT)
    if (!ROOT) return
    for (const file of files) {
      assert.ok((await lstat(file)).isFile(), `${file} is there`)
      for (const statement of [
        program(`cat "${file}" > /dev/null`),
        `select pg_read_binary_file('${file}')`,
        `select lo_import('${file}')`,
      ]) {
        assert.match(await attempt(statement), /denied|program ".*" failed/, statement)
      }
    }
    for (const folder of folders) {
      assert.match(await attempt(`select pg_ls_dir('${folder}')`), /denied/, folder)
      assert.match(await attempt(program(`ls "${folder}"`)), /failed/, folder)
      assert.match(await attempt(program(`: > "${folder}/planted"`)), /failed/, folder)
    }
  })

  it('finds no password and no key in the command lines of this host', async () => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const password = (await readFile(join(service.dataFolder, 'catalogue-password'), 'utf8')).trim()
    const key = (await readFile(join(service.dataFolder, 'key'), 'utf8')).trim()
    assert.ok(pids.includes(String(service.pid)))
    for (const pid of pids) {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') // Gone.
      for (const secret of [password, key, 'testAccessKeySecret']) {
        assert.ok(!line.includes(secret), `process ${pid}`)
      }
    }
  })

  it("does not reach the catalogue's socket, which is its own user's alone", async () => {
    const folder = await socketFolder()
    const { uid, mode } = await stat(folder)
    assert.equal(mode & 0o777, 0o700)
    assert.equal(uid, (await stat(join(service.dataFolder, 'catalogue'))).uid)
    const socket = join(folder, '.s.PGSQL.5432')
    assert.ok((await lstat(socket)).isSocket())
    if (!ROOT) return
    assert.match(await attempt(program(`test -e "${socket}"`)), /failed/)
    assert.match(await attempt(program(`ls "${folder}"`)), /failed/)
  })
})

describe('a catalogue of another user', () => {
  it('passes to the user of its server at the start, and nothing outside does', async () => {
    const catalogue = join(service.dataFolder, 'catalogue')
    const own = await stat(catalogue)
    await service.stop('SIGKILL')
    const outside = join(service.folder, 'outside')
    await writeFile(outside, '')
    const link = join(catalogue, 'link')
    await symlink(outside, link)
    if (ROOT) {
      const nobody = (await readUsers('/etc/passwd')).get('nobody')
      for (const name of ['.', 'PG_VERSION', 'base', 'global/pg_control']) {
        await chown(join(catalogue, name), nobody?.uid ?? 0, nobody?.gid ?? 0)
      }
    }
    const before = await stat(outside)
    await service.start()
    for (const name of ['.', 'PG_VERSION', 'base', 'global/pg_control']) {
      assert.equal((await stat(join(catalogue, name))).uid, own.uid, name)
    }
    assert.equal((await lstat(link)).uid, own.uid)
    assert.equal((await stat(outside)).uid, before.uid)
    await rm(link)
    const reply = await service.ask('DescribeBackups', { DBInstanceId: instanceId })
    assert.equal(itemsOf(reply, 'Backup').length, 1)
  })
})
