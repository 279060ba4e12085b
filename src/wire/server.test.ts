import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { pause } from '../base/clock.ts'
import { send, signedV1, testCall } from '../testing/signed-request.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'
import { type Call, callApi } from './client.ts'

let service: WireService
before(async () => {
  service = await startWireService()
})
after(async () => {
  await service[Symbol.asyncDispose]()
})

function call(action: string, parameters: Record<string, string>, rest: Partial<Call> = {}): Call {
  return testCall(service.url, action, parameters, rest)
}

describe('replies', () => {
  it('renders lists, empty lists and escapes in both formats', async () => {
    const ask = async (Count: string, format: 'JSON' | 'XML') =>
      (await callApi(call('DescribeRegions', { Count }, { format }))).body
    assert.match(await ask('0', 'XML'), /<Regions><\/Regions><\/DescribeRegionsResponse>$/)
    assert.match(await ask('0', 'JSON'), /"Regions":\{"RDSRegion":\[\]\}\}$/)
    const xml = await ask('2', 'XML')
    const one = (n: number) => `<RDSRegion><RegionId>r${n}&lt;&amp;&gt;</RegionId></RDSRegion>`
    assert.ok(xml.endsWith(`<Regions>${one(0)}${one(1)}</Regions></DescribeRegionsResponse>`), xml)
  })

  it('gives V1 XML and V3 JSON when no format is asked for, errors included', async () => {
    const v1 = await send(signedV1(service.url, { Format: undefined }))
    assert.equal(v1.type, 'text/xml;charset=utf-8')
    const refused = await send(signedV1(service.url, { Format: undefined, Version: '1' }))
    assert.equal(refused.type, 'text/xml;charset=utf-8')
    assert.equal(refused.code, 'InvalidVersion')
    assert.match(refused.body, /^<\?xml version='1.0' encoding='UTF-8'\?><Error><RequestId>/)
    const unsigned = await fetch(`${service.url}/?Action=DescribeRegions`)
    assert.equal(unsigned.headers.get('content-type'), 'application/json;charset=utf-8')
    const accept = { headers: { accept: 'application/xml' } }
    const asked = await fetch(`${service.url}/?Action=DescribeRegions`, accept)
    assert.equal(asked.headers.get('content-type'), 'text/xml;charset=utf-8')
  })

  it('leads from an error to a page about its code', async () => {
    const { parsed } = await callApi(
      call('DeleteBackup', { DBInstanceId: 'rm-none', BackupId: '1' }),
    )
    const body = parsed as Record<string, string>
    assert.equal(body['HostId'], new URL(service.url).host)
    const page = await fetch(body['Recommend'] ?? '')
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
    assert.match(await page.text(), /No instance has this ID/)
    const hostile = await fetch(`${service.url}/troubleshoot?q=<script>`)
    assert.doesNotMatch(await hostile.text(), /<script>/)
  })

  it('tells clients nothing of what failed inside, and the log all of it', async () => {
    for (const [TaskAction, status, code] of [
      ['bug', 500, 'InternalError'],
      ['reply', 500, 'InternalError'],
      ['transient', 503, 'ServiceUnavailable'],
      ['no-space', 503, 'ServiceUnavailable'],
    ] as const) {
      const reply = await callApi(call('DescribeTasks', { TaskAction }))
      const { Code, RequestId } = reply.parsed as Record<string, string>
      assert.deepEqual([reply.status, Code], [status, code])
      assert.doesNotMatch(reply.body, /private/)
      const line = service.lines.find(
        ({ level, fields }) =>
          level === 'error' && 'requestId' in fields && fields.requestId === RequestId,
      )
      assert.ok(line, 'the failure is in the log')
    }
  })

  it('logs one line for each call, without secret parameters or signatures', async () => {
    const from = service.lines.length
    const account = { AccountName: 'ann', AccountPassword: 'hidden' }
    await callApi(call('CreateAccount', account, { signature: 'V1' }))
    const lines = service.lines.slice(from)
    assert.equal(lines.length, 1)
    const text = JSON.stringify(lines)
    assert.match(text, /"action":"CreateAccount".*"accessKeyId":"testAccessKeyId"/)
    assert.match(
      text,
      /"parameters":\{"AccountName":"ann"\},"status":200,"code":null,"durationMs":\d+/,
    )
    assert.doesNotMatch(text, /hidden|Signature/)
  })
})

describe('the server', () => {
  it('tells who it is to those who ask for nothing', async () => {
    const reply = await fetch(service.url)
    assert.deepEqual([reply.status, await reply.json()], [200, { Service: 'test' }])
  })

  it('is healthy while every probe is, and names those that are not', async () => {
    const hanging = { name: 'queue', check: () => new Promise(() => {}) }
    const broken = { name: 'storage', check: () => Promise.reject(new Error('private')) }
    const fine = { name: 'catalogue', check: async () => {} }
    await using sick = await startWireService([hanging, broken, fine])
    const [bad, good] = await Promise.all([
      fetch(`${sick.url}/healthz`),
      fetch(`${service.url}/healthz`),
    ])
    assert.deepEqual([good.status, await good.json()], [200, { status: 'ok', checks: {} }])
    const checks = { queue: 'failing', storage: 'failing', catalogue: 'ok' }
    const failing = { status: 'failing', checks }
    assert.deepEqual([bad.status, await bad.json()], [503, failing])
  })

  it('faults when its address is taken', async () => {
    const { port } = service.server
    await assert.rejects(startWireService([], port), { name: 'Fault', kind: 'exists' })
  })

  it('lets a running call finish when it stops, and takes no new connection', async () => {
    const stopping = await startWireService()
    const running = callApi(call('RestartDBInstance', {}, { endpoint: stopping.url }))
    await pause(100)
    const stopped = stopping.server[Symbol.asyncDispose]()
    await pause(50)
    const late = callApi(call('DescribeRegions', {}, { endpoint: stopping.url }))
    await assert.rejects(late, { name: 'Fault', kind: 'transient' })
    stopping.release()
    assert.equal((await running).status, 200)
    await stopped
  })
})
