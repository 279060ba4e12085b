import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { Secret } from '../base/secret.ts'
import { send, signedV1, testCall } from '../testing/signed-request.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'
import { type Call, type CallReply, callApi } from './client.ts'

const SECRET = 'hidden-päss word&=+'
const ENCODED = encodeURIComponent(SECRET)

let service: WireService
before(async () => {
  service = await startWireService()
})
after(async () => {
  await service[Symbol.asyncDispose]()
})

function create(password: Record<string, string>, rest: Partial<Call>): Promise<CallReply> {
  return callApi(testCall(service.url, 'CreateAccount', { AccountName: 'ann', ...password }, rest))
}

/** Nothing of the secret, in any of its spellings, is in what the service said or logged. */
function assertHidden(body: string): void {
  for (const text of [body, JSON.stringify(service.lines)]) {
    for (const spelling of [SECRET, ENCODED, encodeURIComponent(ENCODED), 'hidden-p']) {
      assert.ok(!text.includes(spelling), text)
    }
  }
}

for (const signature of ['V1', 'V3'] as const) {
  it(`takes a secret in the form body of a POST, signature ${signature}`, async () => {
    const reply = await create({ AccountPassword: SECRET }, { signature, method: 'POST' })
    assert.equal(reply.status, 200)
    assert.equal((reply.parsed as Record<string, unknown>)['Characters'], SECRET.length)
    assertHidden(reply.body)
  })

  for (const name of ['AccountPassword', 'accountpassword', 'PrimaryUrl']) {
    it(`refuses the secret ${name} in the address, signature ${signature}`, async () => {
      const reply = await create({ [name]: SECRET }, { signature, method: 'GET' })
      const { Code, Message } = reply.parsed as Record<string, string>
      assert.deepEqual([reply.status, Code], [400, 'InvalidParameter'])
      assert.ok(Message?.includes(`${name} is not valid. (It is a secret: send it in the form`))
      assertHidden(reply.body)
    })
  }

  it(`shows no secret when the signature is wrong, signature ${signature}`, async () => {
    const wrong = { accessKeySecret: new Secret('another') }
    const reply = await create({ AccountPassword: SECRET }, { signature, ...wrong })
    const { Code, Message } = reply.parsed as Record<string, string>
    assert.equal(Code, 'SignatureDoesNotMatch')
    assert.match(Message ?? '', /server string to sign is:(POST&|ACS3-)/)
    assertHidden(reply.body)
  })
}

it('refuses a secret in the address of a POST whose other parameters are in the body', async () => {
  const request = signedV1(
    service.url,
    { Action: 'CreateAccount', AccountName: 'ann', AccountPassword: SECRET },
    { inBody: ['AccountName'] },
  )
  const { status, code, body } = await send(request)
  assert.deepEqual([status, code], [400, 'InvalidParameter'])
  assertHidden(body)
})

it('shows no secret when the signature is cut short, or the action misspelt', async () => {
  const inBody = ['AccountName', 'AccountPassword', 'UserPassword']
  const given = { AccountName: 'ann', AccountPassword: SECRET, UserPassword: SECRET }
  const cut = { Action: 'CreateAccount', ...given, Signature: 'abc' }
  const misspelt = { Action: 'CreateAcount', ...given }
  const incomplete = await send(signedV1(service.url, cut, { inBody }))
  assert.equal(incomplete.code, 'IncompleteSignature')
  const unknown = await send(signedV1(service.url, misspelt, { inBody }))
  assert.equal(unknown.code, 'InvalidAction.NotFound')
  const wrong = await send(signedV1(service.url, misspelt, { inBody, secret: 'another' }))
  assert.equal(wrong.code, 'SignatureDoesNotMatch')
  assert.match(wrong.message, /UserPassword%3D%252A%252A%252A/)
  for (const { body } of [incomplete, unknown, wrong]) assertHidden(body)
})

it('shows the string to sign of a call without secrets as it is', async () => {
  const wrong = { accessKeySecret: new Secret('another') }
  const call = testCall(
    service.url,
    'DescribeRegions',
    { Count: '3' },
    { signature: 'V1', ...wrong },
  )
  const { Message } = (await callApi(call)).parsed as Record<string, string>
  assert.match(Message ?? '', /Count%3D3%26/)
})

it('keeps a secret that could not be used out of the refusal', async () => {
  const reply = await create({ AccountPassword: SECRET, AccountName: '' }, {})
  assert.equal((reply.parsed as Record<string, string>)['Code'], 'MissingAccountName')
  assertHidden(reply.body)
})
