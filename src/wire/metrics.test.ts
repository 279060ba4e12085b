import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Secret } from '../base/secret.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'

const TOKEN = 'scraper-token'
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

function metrics(render: () => Promise<string> = async () => 'up 1\n') {
  return { contentType: CONTENT_TYPE, render }
}

type Changes = NonNullable<Parameters<typeof startWireService>[2]>

function start(changes: Changes): Promise<WireService> {
  return startWireService([], 0, { metrics: metrics(), ...changes })
}

async function scrape(base: string, authorization?: string): Promise<[number, string]> {
  const headers = authorization === undefined ? {} : { authorization }
  const reply = await fetch(`${base}/metrics`, { headers })
  return [reply.status, await reply.text()]
}

describe('metrics of the API', () => {
  it('are open on loopback, in the format of the source', async () => {
    await using service = await start({})
    const reply = await fetch(`${service.url}/metrics`)
    assert.deepEqual([reply.status, await reply.text()], [200, 'up 1\n'])
    assert.equal(reply.headers.get('content-type'), CONTENT_TYPE)
  })

  it('need the token, once there is one', async () => {
    await using service = await start({ metricsToken: new Secret(TOKEN) })
    assert.deepEqual(await scrape(service.url, `Bearer ${TOKEN}`), [200, 'up 1\n'])
    assert.deepEqual(await scrape(service.url, `bearer  ${TOKEN}`), [200, 'up 1\n'])
    for (const given of [undefined, TOKEN, 'Bearer', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`]) {
      const [status, body] = await scrape(service.url, given)
      assert.equal(status, 401)
      assert.doesNotMatch(body, /up 1/)
    }
    const refused = await fetch(`${service.url}/metrics`)
    assert.match(refused.headers.get('www-authenticate') ?? '', /^Bearer /)
  })

  it('are closed to all when others can reach the API and there is no token', async () => {
    await using service = await start({ exposed: true })
    const [status, body] = await scrape(service.url, `Bearer ${TOKEN}`)
    assert.equal(status, 403)
    assert.match(body, /HOLDFAST_METRICS_TOKEN/)
  })

  it('are not there without a source', async () => {
    await using service = await startWireService()
    const [status, body] = await scrape(service.url)
    assert.equal(status, 404)
    assert.match(body, /InvalidPath.NotFound/)
  })

  it('are rendered once for scrapes that overlap', async () => {
    let count = 0
    const held = Promise.withResolvers<void>()
    const render = async () => {
      count += 1
      await held.promise
      return `rendered ${count}\n`
    }
    await using service = await start({ metrics: metrics(render) })
    const both = [scrape(service.url), scrape(service.url)]
    // The second has arrived when a request sent after it was answered.
    await fetch(`${service.url}/healthz`)
    held.resolve()
    assert.deepEqual(await Promise.all(both), [
      [200, 'rendered 1\n'],
      [200, 'rendered 1\n'],
    ])
    assert.deepEqual(await scrape(service.url), [200, 'rendered 2\n'])
  })

  it('tell the scraper nothing of what failed, and the log all of it', async () => {
    const render = () => Promise.reject(new Error('private detail'))
    await using service = await start({ metrics: metrics(render) })
    const [status, body] = await scrape(service.url)
    assert.equal(status, 500)
    assert.doesNotMatch(body, /private/)
    assert.match(JSON.stringify(service.lines), /"metrics failed".*private detail/)
  })
})

describe('metrics on a listener of their own', () => {
  const metricsListen = { host: '127.0.0.1', port: 0 }

  it('are there only, open without a token, and nothing else is', async () => {
    await using service = await start({ metricsListen, exposed: true })
    const own = new URL(service.server.metricsUrl ?? '')
    assert.deepEqual(await scrape(own.origin), [200, 'up 1\n'])
    assert.equal((await scrape(service.url))[0], 404)
    for (const path of ['/', '/healthz', '/?Action=DescribeRegions', '/metrics/x']) {
      assert.equal((await fetch(`${own.origin}${path}`)).status, 404)
    }
    assert.equal((await fetch(own, { method: 'POST', body: 'x' })).status, 405)
  })

  it('need the token, once there is one', async () => {
    await using service = await start({ metricsListen, metricsToken: new Secret(TOKEN) })
    const own = new URL(service.server.metricsUrl ?? '').origin
    assert.equal((await scrape(own))[0], 401)
    assert.equal((await scrape(own, `Bearer ${TOKEN}`))[0], 200)
  })

  it('fault when their address is taken, and leave nothing listening', async () => {
    await using service = await start({ metricsListen })
    const { port } = new URL(service.server.metricsUrl ?? '')
    const taken = { host: '127.0.0.1', port: Number(port) }
    await assert.rejects(start({ metricsListen: taken }), {
      kind: 'exists',
      hint: /HOLDFAST_METRICS_LISTEN/,
    })
    const free = await start({ metricsListen })
    const ports = [free.server.port, Number(new URL(free.server.metricsUrl ?? '').port)]
    await free[Symbol.asyncDispose]()
    for (const each of ports) await assert.rejects(fetch(`http://127.0.0.1:${each}/metrics`))
  })
})
