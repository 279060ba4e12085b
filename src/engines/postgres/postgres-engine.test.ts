import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import pg from 'pg'
import { pause } from '../../base/clock.ts'
import { Secret } from '../../base/secret.ts'
import { writeTree } from '../../base/tree-writer.ts'
import { locateBinaries } from '../../servers/binaries.ts'
import { freePort } from '../../servers/free-port.ts'
import { startPostgres } from '../../servers/postgres-server.ts'
import type { RunningServer } from '../../servers/running-server.ts'
import { giveTreeToUser, resolveServerUser, type ServerUser } from '../../servers/server-user.ts'
import type { Endpoint, LocalEngine, LocalServerPlan, SetDescription, Source } from '../engine.ts'
import { createPostgresLocalEngine } from './local-engine.ts'
import { createPostgresEngine } from './postgres-engine.ts'

const PASSWORD = "it's a \\ secret"
const engine = createPostgresEngine()
const { signal } = new AbortController()

let root: string
let user: ServerUser | null
let local: LocalEngine
let primaryPlan: LocalServerPlan
let standbyPlan: LocalServerPlan
let primary: RunningServer
let standby: RunningServer | null

function endpointOf(plan: LocalServerPlan): Endpoint {
  const { role, node, port, user: name, password } = plan
  return { role, node, host: '127.0.0.1', port, user: name, password }
}

function pair(): Source {
  return { endpoints: [endpointOf(primaryPlan), endpointOf(standbyPlan)] }
}

async function sql<T extends pg.QueryResultRow>(port: number, text: string): Promise<T[]> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'admin',
    password: PASSWORD,
    database: 'postgres',
  })
  await client.connect()
  try {
    return (await client.query<T>(text)).rows
  } finally {
    await client.end()
  }
}

async function newFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(root, `${name}-`))
  await chmod(folder, 0o755)
  return folder
}

async function backUp(
  source: Source,
): Promise<{ readonly directory: string; readonly set: SetDescription }> {
  const directory = join(await newFolder('restored'), 'data')
  const options = { scratchDirectory: await newFolder('scratch'), label: "test's" }
  await using backup = await engine.openBackup(source, options, signal)
  await writeTree(backup.entries, directory, signal)
  return { directory, set: await backup.finish(signal) }
}

async function startCopy(directory: string): Promise<RunningServer> {
  await giveTreeToUser(directory, user)
  return startPostgres(
    {
      directory,
      binaries: await locateBinaries('18', user, join(root, 'programs')),
      user,
      port: await freePort(),
      listen: 'loopback',
      socketDirectory: `${directory}.s`,
      logFile: `${directory}.log`,
    },
    signal,
  )
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'hf-'))
  await chmod(root, 0o755)
  user = await resolveServerUser(
    process.getuid?.() === 0 ? 'nobody' : null,
    process.getuid?.() ?? -1,
  )
  local = createPostgresLocalEngine({
    user,
    binariesDirectory: join(root, 'programs'),
    socketRoot: join(root, 's'),
  })
  const plan = { version: '18', user: 'admin', password: new Secret(PASSWORD) }
  primaryPlan = {
    ...plan,
    role: 'primary',
    directory: join(root, 'one'),
    port: await freePort(),
    primaryPort: null,
    node: 'node-1',
  }
  standbyPlan = {
    ...plan,
    role: 'standby',
    directory: join(root, 'two'),
    port: await freePort(),
    primaryPort: primaryPlan.port,
    node: 'node-2',
  }
  await local.createPrimary(primaryPlan, signal)
  primary = await local.start(primaryPlan, signal)
  await local.createStandby(standbyPlan, endpointOf(primaryPlan), join(root, 'spool'), signal)
  standby = await local.start(standbyPlan, signal)
})

after(async () => {
  await standby?.[Symbol.asyncDispose]()
  await primary?.[Symbol.asyncDispose]()
  await rm(root, { recursive: true, force: true })
})

describe('a pair', () => {
  it('gives from its standby every row committed before the backup was asked for', async () => {
    await sql(primaryPlan.port, 'create table seen (id serial primary key, note text)')
    let writing = true
    const writer = (async () => {
      const client = new pg.Client({
        host: '127.0.0.1',
        port: primaryPlan.port,
        user: 'admin',
        password: PASSWORD,
        database: 'postgres',
      })
      await client.connect()
      while (writing) await client.query("insert into seen (note) values (repeat('x', 500))")
      await client.end()
    })()
    await pause(300)
    const [asked] = await sql<{ last: number }>(
      primaryPlan.port,
      'select max(id) as last from seen',
    )
    const { directory, set } = await backUp(pair())
    writing = false
    await writer
    assert.equal(set.role, 'standby')
    assert.equal(set.node, 'node-2')
    const checked = await engine.verifyRestored(directory, signal)
    assert.ok(checked.files > 900)
    await engine.prepareRestored(directory, set.engineState, signal)
    await engine.verifyRestored(directory, signal)
    await using copy = await startCopy(directory)
    const [found] = await sql<{ rows: string; missing: string; standby: boolean }>(
      copy.port,
      `select count(*) as rows, pg_is_in_recovery() as standby,
              (select count(*) from generate_series(1, ${asked?.last}) as n
                where not exists (select from seen where id = n)) as missing from seen`,
    )
    assert.equal(found?.missing, '0')
    assert.equal(found?.standby, false)
    assert.ok(Number(found?.rows) >= Number(asked?.last))
  })
})
