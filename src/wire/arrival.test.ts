import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { send, sendRaw, signedV1, testCall } from '../testing/signed-request.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'
import { type Call, signRequest } from './client.ts'

const INSTANCE = 'rm-uf6wjk5xxxxxxx'

let service: WireService
before(async () => {
  service = await startWireService()
})
after(async () => {
  await service[Symbol.asyncDispose]()
})
beforeEach(() => {
  service.needs.sets.set(INSTANCE, new Set(['324909958', '324909959']))
})

function call(action: string, parameters: Record<string, string>, rest: Partial<Call> = {}): Call {
  return testCall(service.url, action, parameters, rest)
}

describe('requests that can be read in two ways', () => {
  it('refuses a name that is given twice, however it is encoded, before anything is done', async () => {
    const { url } = signedV1(service.url, {
      Action: 'DeleteBackup',
      DBInstanceId: INSTANCE,
      BackupId: '324909958',
    })
    for (const extra of ['BackupId=1', 'Backup%49d=1', 'BackupId']) {
      const answer = await send({ method: 'GET', url: `${url}&${extra}`, headers: {}, body: '' })
      assert.deepEqual([answer.status, answer.code], [400, 'InvalidParameter'])
      assert.match(answer.message, /BackupId is not valid\. \(It is given more than once\.\)/)
    }
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const split = await send({ method: 'POST', url, headers, body: 'BackupId=1' })
    assert.match(split.message, /given more than once/)
    assert.equal(service.needs.sets.get(INSTANCE)?.size, 2)
  })

  const broken: readonly (readonly [string, string])[] = [
    ['a bad percent sign', 'a=%zz'],
    ['bytes that are not UTF-8', 'a=%ff%fe'],
    ['an overlong zero', 'a=%c0%80'],
    ['a zero byte', 'a=%00'],
    ['1001 parameters', Array.from({ length: 1001 }, (_, n) => `p${n}=`).join('&')],
  ]
  for (const [title, query] of broken) {
    it(`refuses ${title} in query and body`, async () => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      for (const request of [
        { method: 'GET', url: `${service.url}/?${query}`, headers: {}, body: '' },
        { method: 'POST', url: `${service.url}/`, headers, body: query },
      ] as const) {
        const answer = await send(request)
        assert.deepEqual([answer.status, answer.code], [400, 'InvalidParameter'])
      }
    })
  }

  it('refuses bodies that are no form, of a GET, and too large ones', async () => {
    const request = signRequest(call('DescribeRegions', {}))
    const json = await send({
      ...request,
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    assert.deepEqual([json.status, json.code], [400, 'InvalidParameter'])
    assert.match(json.message, /Content-Type/)
    const large = await send({ ...request, body: `a=${'x'.repeat(1024 * 1024)}` })
    assert.deepEqual([large.status, large.code], [400, 'InvalidParameter'])
    assert.match(large.message, /larger than 1048576 bytes/)
    const get = await sendRaw(
      service.url,
      'GET /?a=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\na=1',
    )
    assert.match(get, /^HTTP\/1.1 400 .*A GET request has none/s)
  })

  it('refuses a header that is given twice', async () => {
    for (const name of ['x-acs-action', 'Authorization', 'Content-Type']) {
      const reply = await sendRaw(
        service.url,
        `GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${name}: a\r\n${name}: b\r\n\r\n`,
      )
      assert.match(reply, /^HTTP\/1.1 400 .*"Code":"InvalidParameter".*given more than once/s)
    }
  })

  it('reads a body of UTF-8 that is not percent-encoded', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const request = { method: 'POST', url: `${service.url}/`, headers, body: 'a=中' } as const
    assert.equal((await send(request)).code, 'MissingParameter')
  })

  it('answers what is no HTTP, has a broken path or too many headers with an error body', async () => {
    for (const text of [
      'hello\r\n\r\n',
      'GET /%zz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: h\r\nx: ${'x'.repeat(70_000)}\r\n\r\n`,
    ]) {
      assert.match(await sendRaw(service.url, text), /^HTTP\/1.1 400 .*"Code":"InvalidParameter"/s)
    }
  })

  it('refuses other HTTP methods and other paths', async () => {
    const put = await fetch(service.url, { method: 'PUT' })
    assert.equal(put.status, 400)
    assert.match(await put.text(), /"Code":"UnsupportedHTTPMethod"/)
    const path = await fetch(`${service.url}/v1/backups`)
    assert.equal(path.status, 404)
    assert.match(await path.text(), /"Code":"InvalidPath.NotFound"/)
  })
})
