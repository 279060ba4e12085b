import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { endpointOf, LocalPostgres, sourceOf } from '../../testing/local-postgres.ts'
import { withSession } from './sql-session.ts'

const TIMEOUT_MS = 30_000
const { signal } = new AbortController()
let host: LocalPostgres

before(async () => {
  host = await LocalPostgres.create()
})

after(async () => {
  await host?.[Symbol.asyncDispose]()
})

it('follows the primary to a promoted standby, and takes no server of another cluster', async () => {
  const [primary, server] = await host.startPrimary('one')
  const [standby] = await host.startStandby('two', primary)
  const pair = sourceOf(primary, standby)
  const { facts } = await host.engine.inspect(pair, signal)
  const systemIdentifier = facts?.systemIdentifier ?? ''
  const source = { ...pair, systemIdentifier }
  assert.deepEqual(await host.engine.probe(source, signal), {
    running: true,
    primary: { node: 'one', timeline: 1 },
    findings: [],
  })
  const foreign = await host.engine.probe({ ...pair, systemIdentifier: '1' }, signal)
  assert.equal(foreign.running, false)
  assert.equal(foreign.primary, null)
  assert.match(foreign.findings.join(), /belongs to another cluster/)

  await host.stop(server)
  const lost = await host.engine.probe(source, signal)
  assert.equal(lost.running, false)
  assert.equal(lost.primary, null)
  await withSession(endpointOf(standby), TIMEOUT_MS, signal, (session) =>
    session.query('select pg_promote(true, 30)'),
  )
  const moved = await host.engine.probe(source, signal)
  assert.equal(moved.running, false)
  assert.deepEqual(moved.primary, { node: 'two', timeline: 2 })

  // The old primary comes back and knows of nothing: the recorded one is a primary still.
  await host.start(primary)
  const back = await host.engine.probe(source, signal)
  assert.deepEqual(back.primary, { node: 'one', timeline: 1 })
  assert.match(back.findings.join(), /two: is not in recovery/)
})

it('calls no one primary when the recorded one is gone and two others claim it', async () => {
  const [primary, server] = await host.startPrimary('three')
  const [first] = await host.startStandby('four', primary)
  const [second] = await host.startStandby('five', primary)
  await host.stop(server)
  for (const standby of [first, second]) {
    await withSession(endpointOf(standby), TIMEOUT_MS, signal, (session) =>
      session.query('select pg_promote(true, 30)'),
    )
  }
  const {
    running,
    primary: found,
    findings,
  } = await host.engine.probe(sourceOf(primary, first, second), signal)
  assert.equal(running, false)
  assert.equal(found, null)
  assert.match(findings.join(), /four and five all say that they are the primary/)
})
