import assert from 'node:assert/strict'
import { it } from 'node:test'
import { testCall } from '../testing/signed-request.ts'
import { startWireService } from '../testing/wire-service.ts'
import { callApi, signRequest } from './client.ts'

it('an exposed service tells nothing but its health, and what codes mean, to who proves nothing', async () => {
  await using service = await startWireService([], 0, { exposed: true })
  const open = async (path: string) => {
    const reply = await fetch(`${service.url}${path}`)
    return [reply.status, await reply.text()] as const
  }
  assert.deepEqual(await open('/healthz'), [200, '{"status":"ok","checks":{}}'])
  const [status, page] = await open('/troubleshoot?q=InvalidVersion')
  assert.equal(status, 200)
  assert.doesNotMatch(page, /test/)
  for (const [path, code, expected] of [
    ['/', 'MissingParameter', 400],
    ['/?Action=DescribeRegions', 'MissingParameter', 400],
    ['/metrics', 'InvalidPath.NotFound', 404],
    ['/healthz/', 'InvalidPath.NotFound', 404],
    ['/anything', 'InvalidPath.NotFound', 404],
  ] as const) {
    const [refused, body] = await open(path)
    assert.deepEqual([refused, JSON.parse(body).Code], [expected, code])
  }
  const signed = await callApi(testCall(service.url, 'DescribeRegions', {}))
  assert.equal(signed.status, 200)
})

for (const [trusted, expected] of [
  ['127.0.0.1', '203.0.113.7'],
  ['10.0.0.0', '127.0.0.1'],
] as const) {
  it(`logs and records a deletion under ${expected} when ${trusted} is the trusted proxy`, async () => {
    const trustedProxies = [{ address: trusted, prefix: 32, family: 'ipv4' }] as const
    await using service = await startWireService([], 0, { trustedProxies })
    const deletion = { DBInstanceId: 'rm-uf6wjk5xxxxxxx', BackupId: '324909958' }
    const { method, url, headers, body } = signRequest(
      testCall(service.url, 'DeleteBackup', deletion),
    )
    const forwarded = { ...headers, 'x-forwarded-for': '1.2.3.4, 203.0.113.7' }
    const reply = await fetch(url, { method, headers: forwarded, body })
    assert.equal(reply.status, 200)
    assert.deepEqual(service.needs.deletedFrom, [expected])
    const [call] = service.lines.filter(({ message }) => message === 'call')
    assert.match(JSON.stringify(call), new RegExp(`"address":"${expected}"`))
  })
}
