import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { giveTreeToUser } from '../../servers/server-user.ts'
import { LocalPostgres } from '../../testing/local-postgres.ts'
import { PlainPostgres } from '../../testing/plain-postgres.ts'

const { signal } = new AbortController()
const VERSION = '18'
let host: LocalPostgres

before(async () => {
  host = await LocalPostgres.create()
})

after(async () => {
  await host?.[Symbol.asyncDispose]()
})

/** A new cluster whose server is started as its owner would, with settings on its command line. */
async function newCluster(name: string): Promise<string> {
  const directory = join(host.root, name)
  await PlainPostgres.create(host, directory, VERSION, [])
  return directory
}

const start = (directory: string, settings: Readonly<Record<string, string>> = {}) =>
  PlainPostgres.start(host, directory, VERSION, settings)

async function moveOut(home: string, folder: string, ...names: string[]): Promise<void> {
  for (const name of names) await rename(join(home, name), join(folder, name))
}

/** Backs the server up, stops it, and gives the verified and prepared copy. */
async function restoreCopy(server: PlainPostgres) {
  await server.ask('create table kept as select generate_series(1, 100) n')
  const source = { endpoints: [server.endpoint], systemIdentifier: null }
  const { directory, set } = await host.backUp(source)
  await server[Symbol.asyncDispose]()
  await host.engine.verifyRestored(directory, signal)
  const notes = await host.engine.prepareRestored(directory, set.engineState, signal)
  await host.engine.verifyRestored(directory, signal)
  const again = await host.engine.prepareRestored(directory, set.engineState, signal)
  assert.deepEqual(again, notes)
  await giveTreeToUser(directory, host.user)
  return { directory, notes, state: set.engineState }
}

async function checkStarts(
  directory: string,
  look: (copy: PlainPostgres) => Promise<void> = async () => {},
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using copy = await start(directory, settings)
  assert.equal(await copy.ask('select sum(n) from kept'), '5050')
  assert.equal(await copy.ask('show data_directory'), directory)
  await look(copy)
}

describe('a restored copy', () => {
  it('of a server with its configuration elsewhere gets a minimal one, is told of, and starts', async () => {
    const home = await newCluster('debian')
    const etc = await host.folder('etc')
    await moveOut(home, etc, 'postgresql.conf', 'pg_hba.conf', 'pg_ident.conf')
    await giveTreeToUser(etc, host.user)
    const server = await start(home, {
      config_file: join(etc, 'postgresql.conf'),
      hba_file: join(etc, 'pg_hba.conf'),
      ident_file: join(etc, 'pg_ident.conf'),
      data_directory: home,
    })
    const { directory, notes } = await restoreCopy(server)
    await rm(etc, { recursive: true })
    assert.equal(notes.length, 1)
    assert.match(notes.join(), /holds no postgresql.conf and no pg_hba.conf/)
    await checkStarts(directory)
  })

  it('keeps its own access rules when postgresql.conf names others', async () => {
    const home = await newCluster('rules-outside')
    const etc = await host.folder('etc')
    await moveOut(home, etc, 'pg_hba.conf', 'pg_ident.conf')
    await giveTreeToUser(etc, host.user)
    const more = `hba_file = '${etc}/pg_hba.conf'\nident_file '${etc}/pg_ident.conf'
external_pid_file = '${etc}/pid'\nlog_directory = '${etc}'\nlogging_collector = on\n`
    const conf = join(home, 'postgresql.conf')
    await writeFile(conf, `${await readFile(conf, 'utf8')}${more}`)
    const { directory, notes } = await restoreCopy(await start(home))
    assert.match(notes.join(), /holds no pg_hba.conf/)
    await rm(etc, { recursive: true })
    await checkStarts(directory, async (copy) => {
      assert.equal(await copy.ask('show hba_file'), join(directory, 'pg_hba.conf'))
      assert.equal(await copy.ask('show log_directory'), 'log')
    })
  })

  it('of a configuration with includes names each that is missing, and starts with them', async () => {
    const home = await newCluster('includes')
    const etc = await host.folder('etc')
    await mkdir(join(etc, 'conf.d'))
    await writeFile(join(etc, 'one.conf'), "work_mem = '5MB'\ninclude 'two.conf'\n")
    await writeFile(join(etc, 'two.conf'), "include_if_exists 'none.conf'\n")
    await writeFile(join(etc, 'conf.d', '10.conf'), "maintenance_work_mem '65MB' # more\n")
    await giveTreeToUser(etc, host.user)
    const conf = join(home, 'postgresql.conf')
    const more = `include '${etc}/one.conf'\ninclude_dir = '${etc}/conf.d'\n`
    await writeFile(conf, `${await readFile(conf, 'utf8')}${more}`)
    const { directory, notes, state } = await restoreCopy(await start(home))
    assert.deepEqual(notes, [])
    await checkStarts(directory, async (copy) => {
      assert.equal(await copy.ask('show maintenance_work_mem'), '65MB')
    })
    await rm(etc, { recursive: true })
    const told = await host.engine.prepareRestored(directory, state, signal)
    assert.equal(told.length, 2)
    assert.match(told[0] ?? '', /one\.conf, which is not there/)
    assert.match(told[1] ?? '', /conf\.d, which is not there/)
  })

  it('never opens the data directory that its configuration names', async () => {
    const home = await newCluster('named-home')
    const conf = join(home, 'postgresql.conf')
    const more = `data_directory = '${home}'\n`
    await writeFile(conf, `${await readFile(conf, 'utf8')}${more}`)
    const { directory, notes } = await restoreCopy(await start(home))
    assert.match(notes.join(), /-o "-c data_directory=/)
    assert.ok(notes.join().includes(directory))
    await checkStarts(directory, async () => {}, { data_directory: directory })
  })

  it('of a data directory with links to other disks holds the log, and not what is not data', async () => {
    const home = await newCluster('linked')
    const disk = await host.folder('disk')
    await moveOut(home, disk, 'pg_wal')
    await mkdir(join(disk, 'log'))
    await symlink(join(disk, 'pg_wal'), join(home, 'pg_wal'))
    await symlink(join(disk, 'log'), join(home, 'log'))
    await writeFile(join(disk, 'log', 'old.log'), 'old\n')
    await giveTreeToUser(disk, host.user)
    const { directory } = await restoreCopy(await start(home))
    await rm(disk, { recursive: true })
    const names = await readdir(directory)
    assert.ok(names.includes('pg_wal') && !names.includes('log'))
    await checkStarts(directory)
  })

  it('holds no logical slot, no temporary file and no content of unlogged tables', async () => {
    const home = await newCluster('logical')
    const server = await start(home, { wal_level: 'logical', wal_compression: 'pglz' })
    await server.ask(`select pg_create_logical_replication_slot('cdc', 'pgoutput')`)
    await server.ask('create unlogged table fleeting as select 1 as one')
    const spare = join(home, 'base', 'pgsql_tmp')
    await mkdir(spare, { recursive: true })
    await writeFile(join(spare, 'pgsql_tmp1.1'), 'x')
    await giveTreeToUser(spare, host.user)
    const { directory } = await restoreCopy(server)
    assert.deepEqual(await readdir(join(directory, 'pg_replslot')), [])
    assert.deepEqual(
      (await readdir(join(directory, 'base'))).filter((name) => !/^\d+$/.test(name)),
      [],
    )
    await checkStarts(directory, async (copy) => {
      assert.equal(await copy.ask('select count(*) from fleeting'), '0')
      assert.equal(await copy.ask('select count(*) from pg_replication_slots'), '0')
    })
  })
})
