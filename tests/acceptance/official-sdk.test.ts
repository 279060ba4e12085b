import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { $OpenApiUtil } from '@alicloud/openapi-core'
import RPCClient from '@alicloud/pop-core'
import rds from '@alicloud/rds20140815'
import { XMLParser } from 'fast-xml-parser'
import { ServiceProcess, until } from '../../src/testing/service-process.ts'

const { default: Client } = rds

let service: ServiceProcess
let client: InstanceType<typeof Client>
let pop: RPCClient

before(async () => {
  service = await ServiceProcess.open('official-sdk')
  const key = { accessKeyId: 'testAccessKeyId', accessKeySecret: 'testAccessKeySecret' }
  client = new Client(
    new $OpenApiUtil.Config({
      ...key,
      endpoint: new URL(service.endpoint).host,
      protocol: 'http',
      regionId: 'local',
    }),
  )
  pop = new RPCClient({ ...key, endpoint: service.endpoint, apiVersion: '2014-08-15' })
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

test('the official SDK creates, backs up, lists, judges and reads every reply', async () => {
  const regions = await client.describeRegions(new rds.DescribeRegionsRequest({}))
  assert.equal(regions.body?.regions?.RDSRegion?.[0]?.regionId, 'local')
  const asked = {
    engine: 'PostgreSQL',
    engineVersion: '18',
    category: 'HighAvailability',
    clientToken: 'once-and-for-all',
  }
  const create = () => client.createDBInstance(new rds.CreateDBInstanceRequest(asked))
  const id = (await create()).body?.DBInstanceId ?? ''
  assert.equal((await create()).body?.DBInstanceId, id, 'a ClientToken makes it one instance')
  await until(async () => {
    const request = new rds.DescribeDBInstanceAttributeRequest({ DBInstanceId: id })
    const { body } = await client.describeDBInstanceAttribute(request)
    return body?.items?.DBInstanceAttribute?.[0]?.DBInstanceStatus === 'Running'
  }, 'the instance runs')
  const job = await client.createBackup(new rds.CreateBackupRequest({ DBInstanceId: id }))
  const task = new rds.DescribeBackupTasksRequest({
    DBInstanceId: id,
    backupJobId: Number(job.body?.backupJobId),
  })
  let backupId = ''
  await until(async () => {
    const { body } = await client.describeBackupTasks(task)
    const [shown] = body?.items?.backupJob ?? []
    backupId = shown?.backupId ?? ''
    return shown?.backupStatus === 'Finished'
  }, 'the backup is finished')
  const listed = await client.describeBackups(new rds.DescribeBackupsRequest({ DBInstanceId: id }))
  const [set] = listed.body?.items?.backup ?? []
  assert.equal(set?.backupId, backupId)
  assert.equal(set?.storeStatus, 'Disabled')
  assert.ok((set?.backupSize ?? 0) > 10_000_000)
  assert.equal(listed.body?.totalRecordCount, '1')
  const remove = () =>
    client.deleteBackup(new rds.DeleteBackupRequest({ DBInstanceId: id, backupId }))
  await assert.rejects(remove(), {
    code: 'OperationDenied.BackupSetDeleteNotSupport',
    statusCode: 403,
  })
  const modify = new rds.ModifyBackupPolicyRequest({
    DBInstanceId: id,
    preferredBackupTime: '05:00Z-06:00Z',
    preferredBackupPeriod: 'Monday,Thursday',
    backupRetentionPeriod: '30',
    backupLog: 'Disabled',
  })
  assert.equal((await client.modifyBackupPolicy(modify)).body?.DBInstanceID, id)
  const described = await client.describeBackupPolicy(
    new rds.DescribeBackupPolicyRequest({ DBInstanceId: id }),
  )
  assert.equal(described.body?.backupRetentionPeriod, 30)
  const instances = await client.describeDBInstances(
    new rds.DescribeDBInstancesRequest({ regionId: 'local' }),
  )
  assert.deepEqual(
    instances.body?.items?.DBInstance?.map((each) => each.DBInstanceId),
    [id],
  )
  await service.succeed('clock', 'advance', '8d')
  assert.equal((await remove()).statusCode, 200)
  await assert.rejects(remove(), { code: 'InvalidBackupSetID.NotFound', statusCode: 404 })
  const events = await client.describeEvents(new rds.DescribeEventsRequest({ regionId: 'local' }))
  const items = events.body?.eventItems?.eventItems ?? []
  const backup = items.find(({ eventName }) => eventName === 'CreateBackup')
  assert.ok(typeof backup?.eventId === 'number' && typeof backup.callerUid === 'number')
  assert.equal(backup.resourceName, id)
  const refused = items.filter(({ eventPayload }) => /call-refused/.test(eventPayload ?? ''))
  assert.deepEqual(
    refused.map(({ eventName, eventReason }) => [eventName, eventReason]),
    [
      ['DeleteBackup', 'FROM_USER'],
      ['DeleteBackup', 'FROM_USER'],
    ],
  )
  assert.equal(events.body?.totalRecordCount, items.length)
})

test('the older SDK calls with GET and POST, and reads errors', async () => {
  const regions = (await pop.request('DescribeRegions', {})) as { RequestId: string }
  assert.match(regions.RequestId, /^[0-9A-F-]{36}$/)
  const wrong = pop.request(
    'DeleteBackup',
    { DBInstanceId: 'x', BackupId: '1' },
    { method: 'POST' },
  )
  await assert.rejects(wrong, { code: 'InvalidDBInstanceName.NotFound' })
})

test('XML replies name each set, and an empty list is an empty element', async () => {
  const { parsed } = await service.call('DescribeDBInstances')
  const [instance] = (parsed as { Items: { DBInstance: { DBInstanceId: string }[] } }).Items
    .DBInstance
  const parameters = { DBInstanceId: instance?.DBInstanceId ?? '' }
  const reply = await service.call('DescribeBackups', parameters, { format: 'XML' })
  assert.equal(reply.headers.get('content-type'), 'text/xml;charset=utf-8')
  assert.match(reply.body, /^<\?xml version="1.0" encoding="UTF-8" \?><DescribeBackupsResponse>/)
  assert.match(reply.body, /<Items><\/Items>/)
  const error = await service.call('DeleteBackup', parameters, { format: 'XML' })
  assert.equal(new XMLParser().parse(error.body).Error.Code, 'MissingBackupId')
})

test('a nonce is refused for good: also after the service was killed and started again', async () => {
  const { request } = await service.call('DescribeRegions')
  const again = () =>
    fetch(request.url, { method: request.method, headers: request.headers, body: request.body })
  const first = (await (await again()).json()) as { Code: string }
  assert.equal(first.Code, 'SignatureNonceUsed')
  await service.stop('SIGKILL')
  await service.start()
  assert.equal(((await (await again()).json()) as { Code: string }).Code, 'SignatureNonceUsed')
})
