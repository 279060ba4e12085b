import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault } from '../base/fault.ts'
import { SILENT } from '../base/logger.ts'
import { Secret } from '../base/secret.ts'
import { startWatchServer } from './watch-server.ts'

const listen = { host: '127.0.0.1', port: 0 }
const metrics = { contentType: 'text/plain', render: async () => 'up 1\n' }

test('tells metrics to who knows the token, health to everyone, and nothing else', async () => {
  let well = true
  const check = async () => {
    if (!well) throw new Fault('transient', 'not there')
  }
  const probes = [{ name: 'catalogue', check }]
  const token = new Secret('a-long-token')
  await using server = await startWatchServer({
    ...{ probes, metrics, token, listen, tls: null, log: SILENT },
  })
  const authorization = 'Bearer a-long-token'
  const seen = await fetch(server.metricsUrl, { headers: { authorization } })
  assert.equal(await seen.text(), 'up 1\n')
  assert.equal((await fetch(server.metricsUrl)).status, 401)
  const health = new URL('/healthz', server.metricsUrl)
  assert.deepEqual(await (await fetch(health)).json(), {
    status: 'ok',
    checks: { catalogue: 'ok' },
  })
  well = false
  assert.equal((await fetch(health)).status, 503)
  assert.equal((await fetch(health, { method: 'POST' })).status, 404)
  assert.equal((await fetch(new URL('/', server.metricsUrl))).status, 404)
})

test('an address that is taken is a fault that names the setting', async () => {
  const options = { probes: [], metrics, token: null, tls: null, log: SILENT }
  await using server = await startWatchServer({ ...options, listen })
  const port = Number(new URL(server.metricsUrl).port)
  await assert.rejects(
    startWatchServer({ ...options, listen: { ...listen, port } }),
    (error) => isFault(error, 'exists') && /HOLDFAST_METRICS_LISTEN/.test(error.hint ?? ''),
  )
})
