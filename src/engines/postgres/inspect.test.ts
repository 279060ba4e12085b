import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pause } from '../../base/clock.ts'
import { Secret } from '../../base/secret.ts'
import { freePort } from '../../servers/free-port.ts'
import { databaseOf, endpointOf, LocalPostgres, sourceOf } from '../../testing/local-postgres.ts'
import { PlainPostgres } from '../../testing/plain-postgres.ts'
import { askDatabase } from '../../testing/with-database.ts'
import type { Endpoint, Inspection } from '../engine.ts'
import { judgeServer } from './inspect-server.ts'
import { withSession } from './sql-session.ts'

const { signal } = new AbortController()
const ROLE = 'watch er'
const PAUSE_MS = 20
let host: LocalPostgres

before(async () => {
  host = await LocalPostgres.create()
})

after(async () => {
  await host?.[Symbol.asyncDispose]()
})

function inspect(...endpoints: readonly Endpoint[]): Promise<Inspection> {
  return host.engine.inspect({ endpoints, systemIdentifier: null }, signal)
}

/** What mends each problem, one a line. */
function adviceOf({ problems }: Inspection): string {
  return problems.map(({ server, advice }) => `${server} ${advice}`).join('\n')
}

const PLAN = {
  version: '18',
  role: 'primary',
  directory: '',
  port: 5432,
  user: ROLE,
  password: new Secret(''),
  primaryPort: null,
  node: 'one',
} as const

const SEEN = {
  inRecovery: false,
  systemIdentifier: '1',
  timeline: 1,
  position: null,
  streaming: false,
  identity: 'one',
  settings: new Map([
    ['wal_level', 'replica'],
    ['max_wal_senders', '10'],
    ['max_replication_slots', '10'],
  ]),
  replicationRole: true,
  monitorRole: true,
} as const

/** A server of this version with these settings, and a role without any right. */
async function startPlain(name: string, version: string, settings: Record<string, string>) {
  const home = join(host.root, name)
  await PlainPostgres.create(host, home, version, [])
  const server = await PlainPostgres.start(host, home, version, settings)
  await server.ask(`create role "${ROLE}" login password 'a secret'`)
  return { home, server, watcher: { ...server.endpoint, user: ROLE } }
}

/** New sessions are let in by the new lines once this has ended. */
async function reload(server: PlainPostgres): Promise<void> {
  const loadedAt = () => server.ask('select pg_conf_load_time()::text')
  const before = await loadedAt()
  await server.ask('select pg_reload_conf()')
  while ((await loadedAt()) === before) await pause(PAUSE_MS)
}

describe('inspecting one server', () => {
  it('tells each right that the role lacks, and takes it when all are there', async () => {
    const { home, server, watcher } = await startPlain('rights', '16', {})
    await using _server = server
    const bare = adviceOf(await inspect(watcher))
    assert.match(bare, /ALTER ROLE "watch er" REPLICATION/)
    assert.match(bare, /GRANT pg_monitor TO "watch er"/)
    await server.ask(`alter role "${ROLE}" replication`, `grant pg_monitor to "${ROLE}"`)
    const { problems, facts } = await inspect(watcher)
    assert.deepEqual(problems, [])
    assert.equal(facts?.majorVersion, '16')
    assert.equal(facts?.timeline, 1)
    assert.equal(await server.ask('select count(*) from pg_replication_slots'), '0')

    const wrong = { ...watcher, password: new Secret('another') }
    assert.match(adviceOf(await inspect(wrong)), /ALTER ROLE "watch er" PASSWORD/)
    assert.match(adviceOf(await inspect({ ...watcher, database: 'gone' })), /name a database/)

    // The lines that are printed must be the ones that help.
    const hba = join(home, 'pg_hba.conf')
    await writeFile(hba, 'host all admin 127.0.0.1/32 scram-sha-256\n')
    await reload(server)
    const refused = await inspect(watcher)
    const lines = refused.problems.map(({ advice }) => advice.split('(): ')[1] ?? '')
    assert.deepEqual(lines, [
      'host  postgres  "watch er"  127.0.0.1/32  scram-sha-256',
      'host  replication  "watch er"  127.0.0.1/32  scram-sha-256',
    ])
    await writeFile(hba, `${await readFile(hba, 'utf8')}${lines.join('\n')}\n`)
    await reload(server)
    assert.deepEqual((await inspect(watcher)).problems, [])
  })

  it('names the settings that rule replication out', async () => {
    const settings = { wal_level: 'minimal', max_wal_senders: '0', max_replication_slots: '0' }
    const { server } = await startPlain('minimal', '15', settings)
    await using _server = server
    const advice = adviceOf(await inspect(server.endpoint))
    for (const name of Object.keys(settings)) assert.match(advice, new RegExp(`set ${name} = `))
    assert.equal(advice.split('\n').length, 3)
  })

  it('finds that every slot is in use', async () => {
    const { server } = await startPlain('slots', '17', { max_replication_slots: '1' })
    await using _server = server
    await server.ask("select pg_create_physical_replication_slot('theirs')")
    assert.match(adviceOf(await inspect(server.endpoint)), /raise max_replication_slots/)
    assert.equal(await server.ask('select slot_name from pg_replication_slots'), 'theirs')
  })

  it('takes the versions 15 to 18 and no other, and asks others no more', () => {
    const endpoint = endpointOf(PLAN)
    for (const [number, problems] of [
      [120022, 1],
      [140019, 1],
      [150000, 0],
      [180004, 0],
      [190000, 1],
    ] as const) {
      const version = `${Math.floor(number / 10_000)}.0`
      const found = judgeServer(endpoint, { ...SEEN, version, versionNumber: number })
      assert.equal(found.length, problems, version)
      for (const { problem } of found) assert.match(problem, new RegExp(`PostgreSQL ${version} `))
    }
  })

  it('tells of a port where nothing, or something else, listens', async () => {
    const plan = await host.plan('primary', 'nobody')
    const closed = { ...endpointOf(plan), port: await freePort() }
    assert.match(adviceOf(await inspect(closed)), /listen_addresses/)
    const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    web.listen(0, '127.0.0.1')
    await once(web, 'listening')
    const address = web.address()
    try {
      assert.ok(address && typeof address === 'object')
      const { problems, facts } = await inspect({ ...closed, port: address.port })
      assert.equal(facts, null)
      assert.match(problems[0]?.advice ?? '', /check the port/)
    } finally {
      web.close()
    }
  })
})

describe('inspecting several servers', () => {
  it('takes a pair as it is, and tells what does not belong together', async () => {
    const [primary] = await host.startPrimary('one')
    const [standby] = await host.startStandby('two', primary)
    const [other] = await host.startPrimary('three')
    const pair = await host.engine.inspect(sourceOf(primary, standby), signal)
    assert.deepEqual(pair.problems, [])

    const swapped = adviceOf(
      await inspect(
        { ...endpointOf(standby), role: 'primary' },
        { ...endpointOf(primary), role: 'standby' },
      ),
    )
    assert.match(swapped, new RegExp(`:${standby.port} name the primary with --primary`))
    assert.match(swapped, new RegExp(`:${primary.port} name it with --primary`))

    const twice = await inspect(endpointOf(primary), { ...endpointOf(primary), role: 'standby' })
    assert.match(adviceOf(twice), /name each server once/)
    const foreign = await host.engine.inspect(sourceOf(other, standby), signal)
    assert.match(adviceOf(foreign), /name servers of one cluster/)
  })
})

/** A pair of this version, seen as a role with no more rights than it needs. */
async function startWatchedPair(version: string) {
  const primary = { ...(await host.plan('primary', `p${version}`)), version }
  await host.local.createPrimary(primary, signal)
  const servers = [await host.start(primary)]
  await withSession(endpointOf(primary), 10_000, signal, async (session) => {
    await session.query('set session characteristics as transaction read write')
    await session.query(`create role "${ROLE}" login replication password 'a secret'`)
    await session.query(`grant pg_monitor to "${ROLE}"`)
    await session.query('create table kept as select n from generate_series(1, 1000) as n')
  })
  const node = `s${version}`
  const standby = {
    ...(await host.plan('standby', node)),
    version,
    primaryPort: primary.port,
  }
  await host.local.createStandby(
    standby,
    endpointOf(primary),
    join(host.root, `${node}.spool`),
    signal,
  )
  servers.unshift(await host.start(standby))
  const password = new Secret('a secret')
  const { endpoints } = sourceOf(primary, standby)
  const watched = endpoints.map((endpoint) => ({ ...endpoint, user: ROLE, password }))
  const source = { endpoints: watched, systemIdentifier: null }
  return { source, servers, database: databaseOf(primary) }
}

describe('a role with REPLICATION and pg_monitor alone', () => {
  for (const version of ['15', '16', '17', '18']) {
    it(`is enough for whole backups of a pair of PostgreSQL ${version}, which start and hold its rows`, async () => {
      const { source, servers, database } = await startWatchedPair(version)
      assert.deepEqual((await host.engine.inspect(source, signal)).problems, [])
      assert.deepEqual((await host.engine.probe(source, signal)).findings, [])
      const { directory, set } = await host.backUp(source)
      assert.equal(set.node, `s${version}`)
      assert.equal(Math.floor(set.engineState.serverVersionNumber / 10_000), Number(version))
      const { files } = await host.engine.verifyRestored(directory, signal)
      assert.ok(files > 900)
      await host.engine.prepareRestored(directory, set.engineState, signal)
      const copy = await host.startCopy(directory, version)
      const rows = ['select sum(n) from kept']
      assert.equal(await askDatabase({ ...database, port: copy.port }, rows), '500500')
      await host.stop(copy)
      const [standby, primary] = servers
      if (standby) await host.stop(standby)
      assert.equal((await host.backUp(source)).set.node, `p${version}`)
      if (primary) await host.stop(primary)
    })
  }
})
