import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { $OpenApiUtil } from '@alicloud/openapi-core'
import RPCClient from '@alicloud/pop-core'
import rds from '@alicloud/rds20140815'
import { startWireService, TEST_KEY, type WireService } from '../testing/wire-service.ts'

// Both packages are CommonJS: the class is the `default` of what `import` calls the default.
const { default: Client, DeleteBackupRequest, DescribeRegionsRequest } = rds
const REQUEST_ID = /^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/
const INSTANCE = 'rm-uf6wjk5xxxxxxx'

let service: WireService
before(async () => {
  service = await startWireService()
})
after(async () => {
  await service[Symbol.asyncDispose]()
})

function sdk(secret = TEST_KEY.secret.reveal(), signatureAlgorithm?: string) {
  const config = new $OpenApiUtil.Config({
    accessKeyId: TEST_KEY.id,
    accessKeySecret: secret,
    endpoint: new URL(service.url).host,
    protocol: 'http',
    regionId: 'local',
    ...(signatureAlgorithm === undefined ? {} : { signatureAlgorithm }),
  })
  return new Client(config)
}

function pop(secret = TEST_KEY.secret.reveal()) {
  return new RPCClient({
    accessKeyId: TEST_KEY.id,
    accessKeySecret: secret,
    endpoint: service.url,
    apiVersion: '2014-08-15',
  })
}

for (const [version, algorithm] of [
  ['version 3', undefined],
  ['version 1 (v2 of the SDK)', 'v2'],
] as const) {
  describe(`the official SDK, signature ${version}`, () => {
    it('gets replies', async () => {
      const { statusCode, headers, body } = await sdk(undefined, algorithm).describeRegions(
        new DescribeRegionsRequest({ acceptLanguage: 'en-US' }),
      )
      assert.equal(statusCode, 200)
      assert.match(body?.requestId ?? '', REQUEST_ID)
      assert.equal(headers?.['x-acs-request-id'], body?.requestId)
      assert.equal(body?.regions?.RDSRegion?.[0]?.regionId, 'r0<&>')
    })

    it('reads a refusal by code, status and request', async () => {
      const request = new DeleteBackupRequest({ DBInstanceId: INSTANCE, backupId: '7' })
      await assert.rejects(sdk(undefined, algorithm).deleteBackup(request), (error: object) => {
        const { code, statusCode, message, requestId } = error as Record<string, string>
        assert.equal(code, 'InvalidBackupSetID.NotFound')
        assert.equal(statusCode, 404)
        assert.match(requestId ?? '', REQUEST_ID)
        const sentence = 'code: 404, Specified backup set ID does not exist. request id:'
        assert.equal(message, `${code}: ${sentence} ${requestId}`)
        return true
      })
    })

    it('is refused with another secret', async () => {
      const request = new DescribeRegionsRequest({})
      await assert.rejects(sdk('wrong', algorithm).describeRegions(request), {
        code: 'SignatureDoesNotMatch',
        statusCode: 400,
      })
    })
  })
}

for (const method of ['GET', 'POST'] as const) {
  describe(`the classic SDK over ${method}`, () => {
    it('gets replies', async () => {
      const body = await pop().request<Record<string, unknown>>(
        'DescribeRegions',
        { Count: 2, SearchKey: "a b*c~d'(e)!+/%中" },
        { method },
      )
      assert.match(String(body['RequestId']), REQUEST_ID)
      const regions = [{ RegionId: 'r0<&>' }, { RegionId: 'r1<&>' }]
      assert.deepEqual(JSON.parse(JSON.stringify(body['Regions'])), { RDSRegion: regions })
    })

    it('reads a refusal', async () => {
      await assert.rejects(
        pop().request('DeleteBackup', { DBInstanceId: 'rm-none', BackupId: '7' }, { method }),
        { code: 'InvalidDBInstanceName.NotFound', name: 'InvalidDBInstanceName.NotFoundError' },
      )
    })

    it('is refused with another secret', async () => {
      await assert.rejects(pop('wrong').request('DescribeRegions', {}, { method }), {
        code: 'SignatureDoesNotMatch',
      })
    })
  })
}

it('deletes by the ID that the Terraform provider sends', async () => {
  const request = new DeleteBackupRequest({
    DBInstanceId: INSTANCE,
    backupId: `${INSTANCE}:324909958, 324909959,`,
  })
  const { body } = await sdk().deleteBackup(request)
  assert.match(body?.requestId ?? '', REQUEST_ID)
  assert.equal(service.needs.sets.get(INSTANCE)?.size, 0)
})
