import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { instant, isoSeconds, MINUTE_MS, machineNow } from '../base/clock.ts'
import { send, signedV1, testCall } from '../testing/signed-request.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'
import { type Call, type SignedRequest, signRequest } from './client.ts'
import { stringToSignV1 } from './signature-v1.ts'

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

describe('signatures', () => {
  for (const signature of ['V1', 'V3'] as const) {
    for (const method of ['GET', 'POST'] as const) {
      it(`accepts ${signature} over ${method}, and the same request only once`, async () => {
        const parameters = { DBInstanceId: INSTANCE, BackupId: '324909958', 'a b*': "~'(é)" }
        const request = signRequest(call('DeleteBackup', parameters, { signature, method }))
        assert.equal((await send(request)).status, 200)
        const again = await send(request)
        assert.deepEqual([again.status, again.code], [400, 'SignatureNonceUsed'])
      })
    }
  }

  it('accepts V1 with everything in the body, and split over query and body', async () => {
    const names = 'Action Version AccessKeyId SignatureMethod SignatureVersion SignatureNonce'
    const all = [...names.split(' '), 'Timestamp', 'Format', 'Count', 'Signature', '', 'Empty']
    const business = { Count: '2', Empty: '', '': 'x' }
    for (const inBody of [all, ['Count', 'Empty', '']]) {
      const answer = await send(signedV1(service.url, business, { inBody }))
      assert.equal(answer.status, 200, answer.body)
      assert.match(answer.body, /r1/)
    }
  })

  it('matches action names in any case and answers with the name it knows', async () => {
    const answer = await send(signedV1(service.url, { Action: 'describeREGIONS', Format: 'xml' }))
    assert.match(answer.body, /^<\?xml version="1.0" encoding="UTF-8" \?><DescribeRegionsResponse>/)
  })

  const refusals: readonly (readonly [
    string,
    Record<string, string | undefined>,
    number,
    string,
  ])[] = [
    ['an unknown action', { Action: 'Nothing' }, 404, 'InvalidAction.NotFound'],
    ['another version', { Version: '2014-08-16' }, 400, 'InvalidVersion'],
    ['an unknown key', { AccessKeyId: 'x' }, 404, 'InvalidAccessKeyId.NotFound'],
    ['another method', { SignatureMethod: 'HMAC-MD5' }, 400, 'InvalidSignatureMethod'],
    ['a bearer token', { SignatureType: 'BEARERTOKEN' }, 400, 'InvalidSignatureType'],
    ['half a signature', { Signature: 'abc' }, 400, 'IncompleteSignature'],
    ['a bad format', { Format: 'YAML' }, 400, 'InvalidParameter.Format'],
    ['no time at all', { Timestamp: 'yesterday' }, 400, 'InvalidTimeStamp.Format'],
    ['a time without seconds', { Timestamp: '2026-11-24T07:05Z' }, 400, 'InvalidTimeStamp.Format'],
  ]
  for (const [title, changes, status, code] of refusals) {
    it(`refuses ${title}`, async () => {
      const answer = await send(signedV1(service.url, changes))
      assert.deepEqual([answer.status, answer.code], [status, code])
    })
  }

  it('names the common parameter that is missing', async () => {
    for (const name of ['Action', 'Version', 'AccessKeyId', 'Timestamp', 'SignatureNonce']) {
      const answer = await send(signedV1(service.url, { [name]: undefined }))
      assert.deepEqual([answer.status, answer.code], [400, 'MissingParameter'])
      assert.equal(
        answer.message,
        `The input parameter "${name}" that is mandatory for processing this request is not supplied.`,
      )
    }
  })

  it('takes times up to 15 minutes away, either way, and none beyond', async () => {
    for (const [minutes, expected] of [
      [-14, 200],
      [14, 200],
      [-16, 400],
      [16, 400],
    ] as const) {
      const at = instant(machineNow() + minutes * MINUTE_MS)
      const answer = await send(signedV1(service.url, { Timestamp: isoSeconds(at) }))
      assert.equal(answer.status, expected)
      if (expected === 400) assert.equal(answer.code, 'InvalidTimeStamp.Expired')
    }
  })

  it('ends the message of a wrong signature with the string to sign, to the byte', async () => {
    const request = signedV1(service.url, { SearchKey: 'a<b' }, { secret: 'wrong' })
    const answer = await send(request)
    const parameters = new Map(new URL(request.url).searchParams)
    const stringToSign = stringToSignV1('GET', parameters)
    assert.deepEqual([answer.status, answer.code], [400, 'SignatureDoesNotMatch'])
    assert.equal(answer.message.split('server string to sign is:')[1], stringToSign)
  })

  it('uses a nonce up only for those who know the secret', async () => {
    const SignatureNonce = 'once'
    const forged = await send(signedV1(service.url, { SignatureNonce }, { secret: 'wrong' }))
    assert.equal(forged.code, 'SignatureDoesNotMatch')
    assert.equal((await send(signedV1(service.url, { SignatureNonce }))).status, 200)
    assert.equal((await send(signedV1(service.url, { SignatureNonce }))).code, 'SignatureNonceUsed')
  })

  it('refuses a V3 request that was changed on its way', async () => {
    const parameters = { DBInstanceId: INSTANCE, BackupId: '324909958' }
    const signed = () => signRequest(call('DeleteBackup', parameters))
    const changed = (headers: Record<string, string>): SignedRequest => {
      const request = signed()
      return { ...request, headers: { ...request.headers, ...headers } }
    }
    const body = { ...signed(), body: `DBInstanceId=${INSTANCE}&BackupId=324909959` }
    assert.equal((await send(body)).code, 'InvalidParameter')
    assert.equal(
      (await send({ ...signed(), url: `${service.url}/?x=1` })).code,
      'SignatureDoesNotMatch',
    )
    const action = await send(changed({ 'x-acs-action': 'DescribeRegions' }))
    assert.equal(action.code, 'SignatureDoesNotMatch')
    const authorization = signed().headers['authorization'] ?? ''
    const dropped = changed({ authorization: authorization.replace('x-acs-action;', '') })
    assert.equal((await send(dropped)).code, 'IncompleteSignature')
    const other = changed({ authorization: authorization.replace('SHA256', 'SM3') })
    assert.equal((await send(other)).code, 'InvalidSignatureMethod')
    assert.equal((await send(changed({ authorization: 'ACS3-HMAC-SHA256 x' }))).status, 400)
    assert.equal(service.needs.sets.get(INSTANCE)?.size, 2)
  })
})
