import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pause } from '../../base/clock.ts'
import { freePort } from '../../servers/free-port.ts'
import { LocalPostgres } from '../../testing/local-postgres.ts'
import { PlainPostgres } from '../../testing/plain-postgres.ts'
import type { Endpoint, Inspection, LocalServerPlan } from '../engine.ts'
import { ReplicationConnection } from './replication-connection.ts'

const { signal } = new AbortController()
const VERSION = '16'
const BARE = 'bare'
const PAUSE_MS = 20
let host: LocalPostgres
let primary: PlainPostgres
/** A standby of the primary; it streams only when it is told from where. */
let plan: LocalServerPlan

before(async () => {
  host = await LocalPostgres.create()
  const home = join(host.root, 'one')
  await PlainPostgres.create(host, home, VERSION, [])
  primary = await PlainPostgres.start(host, home, VERSION, { max_wal_senders: '2' })
  await primary.ask(`create role ${BARE} login password 'a secret'`)
  const given = await host.plan('standby', 'two')
  plan = { ...given, version: VERSION, primaryPort: primary.port }
  await host.local.createStandby(plan, primary.endpoint, join(host.root, 'spool'), signal)
})

after(async () => {
  await primary?.[Symbol.asyncDispose]()
  await host?.[Symbol.asyncDispose]()
})

function inspect(...endpoints: readonly Endpoint[]): Promise<Inspection> {
  return host.engine.inspect({ endpoints, systemIdentifier: null }, signal)
}

/** What mends each problem, without the server's name. */
function adviceOf({ problems }: Inspection): string[] {
  return problems.map(({ advice }) => advice)
}

function startStandby(settings: Readonly<Record<string, string>>, ready = 'true') {
  return PlainPostgres.start(host, plan.directory, VERSION, settings, ready)
}

function standbyAt(server: PlainPostgres): Endpoint {
  return { ...server.endpoint, role: 'standby', node: 'two' }
}

const SESSIONS = `select count(*) from pg_stat_activity where application_name like 'holdfast%'`
const SLOTS = 'select count(*) from pg_replication_slots where temporary'

describe('inspecting a pair', () => {
  it('tells of a standby that does not stream, and leaves no session or slot behind', async () => {
    await using standby = await startStandby({})
    const found = await inspect(primary.endpoint, standbyAt(standby))
    assert.equal(found.problems.length, 1, JSON.stringify(found.problems))
    assert.match(found.problems[0]?.problem ?? '', /does not stream/)
    assert.match(found.problems[0]?.advice ?? '', /primary_conninfo/)
    for (const server of [primary, standby]) {
      while ((await server.ask(SESSIONS)) !== '0') await pause(PAUSE_MS)
      assert.equal(await server.ask(SLOTS), '0')
    }
  })

  it('tells of a standby that lets nobody in', async () => {
    const closed = 'the database system is not accepting connections'
    await using standby = await startStandby({ hot_standby: 'off' }, closed)
    const advice = adviceOf(await inspect(primary.endpoint, standbyAt(standby)))
    assert.equal(advice.length, 1)
    assert.match(advice[0] ?? '', /hot_standby = on/)
  })

  it('knows a server again that is named by two addresses', async () => {
    await using standby = await startStandby({ listen_addresses: '127.0.0.1,127.0.0.2' })
    const one = standbyAt(standby)
    const { problems } = await inspect(primary.endpoint, one, { ...one, host: '127.0.0.2' })
    const same = problems.filter(({ advice }) => advice === 'name each server once')
    assert.deepEqual(
      same.map(({ server, problem }) => [server, problem]),
      [[`127.0.0.2:${one.port}`, `it is the same server as 127.0.0.1:${one.port}`]],
    )
  })

  it('tells everything at once, and nothing that it could not see', async () => {
    await using standby = await startStandby({})
    const lost = { ...standbyAt(standby), node: 'three', port: await freePort() }
    const { problems } = await inspect(
      { ...primary.endpoint, user: BARE },
      { ...standbyAt(standby), user: BARE },
      lost,
    )
    const rights = ['ALTER ROLE "bare" REPLICATION', 'GRANT pg_monitor TO "bare"']
    const address = 'check host and port, and listen_addresses of the server'
    assert.deepEqual(
      problems.map(({ server, advice }) => `${server} ${advice}`),
      [
        ...rights.map((right) => `127.0.0.1:${primary.port} ${right}`),
        ...rights.map((right) => `127.0.0.1:${standby.port} ${right}`),
        `127.0.0.1:${lost.port} ${address}`,
      ],
    )
  })

  it('tells that no connection for replication is free, until one is', async () => {
    const taken = await ReplicationConnection.open(primary.endpoint, 'theirs', signal)
    try {
      const advice = adviceOf(await inspect(primary.endpoint))
      assert.deepEqual(advice, [
        'raise max_wal_senders (2), and restart the server: all are in use',
      ])
    } finally {
      await taken[Symbol.asyncDispose]()
    }
    const walSenders = 'select count(*) from pg_stat_replication'
    while ((await primary.ask(walSenders)) !== '0') await pause(PAUSE_MS)
    assert.deepEqual(adviceOf(await inspect(primary.endpoint)), [])
  })
})
