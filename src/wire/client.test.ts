import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Secret } from '../base/secret.ts'
import { testCall } from '../testing/signed-request.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'
import { type Call, callApi, describeRequest, signRequest } from './client.ts'

const INSTANCE = 'rm-uf6wjk5xxxxxxx'

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

describe('the client', () => {
  it('shows a signed request without secrets', () => {
    const parameters = { MasterUserPassword: 'hidden', DBInstanceId: INSTANCE }
    for (const method of ['GET', 'POST'] as const) {
      const shown = describeRequest(signRequest(call('CreateAccount', parameters, { method })))
      assert.match(shown, new RegExp(`^${method} /`))
      assert.match(shown, /authorization: ACS3-HMAC-SHA256 Credential=testAccessKeyId/)
      assert.match(shown, /MasterUserPassword=…/)
      assert.doesNotMatch(shown, /hidden|testAccessKeySecret/)
    }
  })

  it('faults when nobody answers or the endpoint is none', async () => {
    const free = call('DescribeRegions', {}, { endpoint: 'http://127.0.0.1:1' })
    await assert.rejects(callApi(free), { name: 'Fault', kind: 'transient' })
    const none = call('DescribeRegions', {}, { endpoint: 'localhost' })
    await assert.rejects(callApi(none), { name: 'Fault', kind: 'unfit' })
  })

  it('is refused with another secret', async () => {
    const accessKeySecret = new Secret('wrong')
    const reply = await callApi(call('DescribeRegions', {}, { accessKeySecret }))
    assert.equal((reply.parsed as Record<string, string>)['Code'], 'SignatureDoesNotMatch')
  })
})
