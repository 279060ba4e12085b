import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Secret } from '../../base/secret.ts'
import { writeTree } from '../../base/tree-writer.ts'
import { freePort } from '../../servers/free-port.ts'
import { endpointOf, LocalPostgres, sourceOf } from '../../testing/local-postgres.ts'
import { PlainPostgres } from '../../testing/plain-postgres.ts'
import type { Endpoint, Inspection } from '../engine.ts'

const { signal } = new AbortController()
const ROLE = 'watch er'
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

/** A server of this version with these settings, and a role without any right. */
async function startPlain(name: string, version: string, settings: Record<string, string>) {
  const home = join(host.root, name)
  await PlainPostgres.create(host, home, version, [])
  const server = await PlainPostgres.start(host, home, version, settings)
  await server.ask(`create role "${ROLE}" login password 'a secret'`)
  return { home, server, watcher: { ...server.endpoint, user: ROLE } }
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
    await server.ask('select pg_reload_conf()')
    const refused = await inspect(watcher)
    const lines = refused.problems.map(({ advice }) => advice.split('(): ')[1] ?? '')
    assert.deepEqual(lines, [
      'host  postgres  "watch er"  127.0.0.1/32  scram-sha-256',
      'host  replication  "watch er"  127.0.0.1/32  scram-sha-256',
    ])
    await writeFile(hba, `${await readFile(hba, 'utf8')}${lines.join('\n')}\n`)
    await server.ask('select pg_reload_conf()')
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

describe('a role with REPLICATION and pg_monitor alone', () => {
  for (const version of ['15', '16', '17', '18']) {
    it(`is enough for a whole backup of PostgreSQL ${version}`, async () => {
      const { server, watcher } = await startPlain(`role${version}`, version, {})
      await using _server = server
      await server.ask(
        `alter role "${ROLE}" replication`,
        `grant pg_monitor to "${ROLE}"`,
        'create table kept as select generate_series(1, 1000) n',
      )
      const source = { endpoints: [watcher], systemIdentifier: null }
      assert.deepEqual((await host.engine.inspect(source, signal)).problems, [])
      const directory = join(await host.folder('copy'), 'data')
      const options = await host.backupOptions("a role's")
      await using backup = await host.engine.openBackup(source, options, signal)
      await writeTree(backup.entries, directory, signal)
      await backup.finish(signal)
      const { files } = await host.engine.verifyRestored(directory, signal)
      assert.ok(files > 900)
    })
  }
})
