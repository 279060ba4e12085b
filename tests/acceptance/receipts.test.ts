import assert from 'node:assert/strict'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { XMLParser } from 'fast-xml-parser'
import { openDataFolder } from '../../src/app/data-folder.ts'
import { joinCatalogue } from '../../src/app/open-catalogue.ts'
import { instant } from '../../src/base/clock.ts'
import { SILENT } from '../../src/base/logger.ts'
import { createReceiptChain } from '../../src/base/receipt-chain.ts'
import type { Catalogue } from '../../src/catalogue/database.ts'
import { appendReceipt } from '../../src/catalogue/receipts.ts'
import { readSealingKey } from '../../src/config/secrets.ts'
import { SYSTEM } from '../../src/domain/receipt.ts'
import { CHECKOUT } from '../../src/testing/installed-package.ts'
import { deletionOf, TEST_MOMENT, tamper } from '../../src/testing/receipt-parts.ts'
import { runProgram } from '../../src/testing/run-program.ts'
import { type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'

let service: ServiceProcess
let catalogue: Catalogue

/** Receipts as the operations and jobs of the service append them, through its own catalogue. */
before(async () => {
  service = await ServiceProcess.open('receipts')
  catalogue = await joinService(service)
  const chain = createReceiptChain(await readSealingKey(keyFile(), false))
  const append = (receipt: Parameters<typeof appendReceipt>[2]) =>
    catalogue.transaction((tx) => appendReceipt(tx, chain, receipt))
  await append(deletionOf('pgm-one'))
  const expiry = { kind: 'expire', actor: SYSTEM, requestId: null } as const
  await append(deletionOf('pgm-one', { ...expiry, at: instant(TEST_MOMENT + 60_000) }))
  await append(
    deletionOf('pgm-two', { kind: 'hold', details: { Reason: 'audit <2026> & "more"' } }),
  )
})

after(async () => {
  await catalogue[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})

async function joinService({ dataFolder }: ServiceProcess): Promise<Catalogue> {
  return joinCatalogue(await openDataFolder(dataFolder, true), SILENT)
}

function keyFile(): string {
  return join(service.dataFolder, 'key')
}

function headsFile(): string {
  return join(service.dataFolder, 'receipt-heads.json')
}

/** Waits until the heads of both chains are kept outside the catalogue. */
async function awaitHeads(): Promise<void> {
  const isKept = async () => {
    const text = await readFile(headsFile(), 'utf8').catch(() => '')
    return text.includes('["pgm-one",2,') && text.includes('["pgm-two",1,')
  }
  await until(isKept, 'the heads are kept')
}

interface Verified {
  readonly receipts: number
  readonly problems: readonly Reply[]
  /** Of an export. */
  readonly ends?: readonly Reply[]
}

async function verify(...words: readonly string[]) {
  const { code, stdout, stderr } = await service.run('receipts', 'verify', ...words)
  assert.notEqual(stdout, '', stderr)
  return { code, ...(JSON.parse(stdout) as Verified) }
}

function eventsOf(reply: Reply): readonly Reply[] {
  return (reply['EventItems'] as Reply)['EventItems'] as readonly Reply[]
}

test('lists receipts, of one instance or of all, a line each', async () => {
  const one = await service.succeed('receipts', 'list', 'pgm-one')
  const request = '0F0A8FCA-9D71-4A4B-9C7B-5D1F6E0C4C11'
  const who = `root testAccessKeyId 127.0.0.1 ${request}`
  const details = '{"backupIds":["100000001"],"freedBytes":12345}'
  assert.deepEqual(one.split('\n'), [
    `pgm-one  1  2026-11-24T07:05:40Z  delete  ${who}  ${details}`,
    `pgm-one  2  2026-11-24T07:06:40Z  expire  system  ${details}`,
  ])
  assert.equal((await service.succeed('receipts', 'list')).split('\n').length, 3)
})

test('takes a misspelt instance, an empty export and a directory for no proof of anything', async () => {
  for (const verb of ['list', 'export', 'verify']) {
    const { code, stdout, stderr } = await service.run('receipts', verb, 'pgm-none')
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /there is no instance pgm-none, nor receipts of one/)
  }
  const empty = join(service.folder, 'empty.jsonl')
  await writeFile(empty, '')
  const found = await verify('--file', empty)
  assert.deepEqual([found.code, found.problems.length], [1, 1])
  const directory = await service.run('receipts', 'verify', '--file', service.folder)
  assert.equal(directory.code, 1)
  assert.ok(directory.stderr.includes(`cannot read ${service.folder}`))
})

test('exports what the page’s own script and the command verify with the key file alone', async () => {
  const file = join(service.folder, 'export.jsonl')
  await service.succeed('receipts', 'export', '--output', file)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  const text = await readFile(file, 'utf8')
  assert.equal(await service.succeed('receipts', 'export'), text.trimEnd())
  const again = await service.run('receipts', 'export', '--output', file)
  assert.equal(again.code, 1)
  assert.match(again.stderr, /cannot make/)
  const page = await readFile(join(CHECKOUT, 'docs/formats/receipts.md'), 'utf8')
  const [, script = ''] = /```js\n(.*?)```/s.exec(page) ?? []
  assert.ok(script.split('\n').length <= 22)
  const program = join(service.folder, 'check.mjs')
  await writeFile(program, script)
  const check = (of: string) =>
    runProgram(process.execPath, [program, keyFile(), of], { PATH: '/usr/bin:/bin' }, '/')
  const whole = await check(file)
  assert.deepEqual([whole.code, whole.stderr], [0, ''])
  assert.match(whole.stdout, /^pgm-one 2 [0-9a-f]{64}\npgm-two 1 [0-9a-f]{64}\n$/)
  const { ends, ...sound } = await verify('--file', file)
  assert.deepEqual(sound, { code: 0, chains: 2, receipts: 3, problems: [], problemCount: 0 })
  const lines = ends?.map((end) => `${end['instanceId']} ${end['number']} ${end['hash']}\n`)
  assert.equal(lines?.join(''), whole.stdout)
  const forged = `${file}.forged`
  await writeFile(forged, text.replace('12345', '12346'))
  assert.match((await check(forged)).stdout, /^pgm-one 1: not as it was written\n/)
  const found = await verify('--file', forged)
  assert.deepEqual([found.code, found.problems.map(({ number }) => number)], [1, [1]])
  await writeFile(forged, `${text.split('\n').slice(1).join('\n')}no receipt\n`)
  const cut = await verify('--file', forged)
  assert.deepEqual(
    cut.problems.map(({ number, problem }) => [number, problem]),
    [
      [2, 'number 1 is missing before it'],
      [null, 'line 3 is no receipt'],
    ],
  )
})

test('verifies the catalogue, while the service runs and while it does not', async () => {
  await awaitHeads()
  const running = await verify()
  assert.deepEqual([running.code, running.receipts, running.problems], [0, 3, []])
  assert.equal((await verify('pgm-two')).receipts, 1)
  await catalogue[Symbol.asyncDispose]()
  await service.stop('SIGKILL')
  const stopped = await verify()
  assert.deepEqual([stopped.code, stopped.receipts, stopped.problems], [0, 3, []])
  const missing = await service.run('receipts', 'verify', '--heads', join(service.folder, 'none'))
  assert.equal(missing.code, 1)
  await service.start()
  catalogue = await joinService(service)
})

test('names what somebody changed in the catalogue, and tells of it', async () => {
  await awaitHeads()
  const change = (from: string, to: string) =>
    tamper(
      catalogue,
      `update receipt set body = replace(body, '${from}', '${to}')
        where instance_id = 'pgm-one' and n = 1`,
    )
  await change('12345', '1')
  const found = await verify()
  assert.equal(found.code, 1)
  assert.deepEqual(
    found.problems.map(({ instanceId, number }) => [instanceId, number]),
    [['pgm-one', 1]],
  )
  await change('"freedBytes":1}', '"freedBytes":12345}')
  assert.equal((await verify()).code, 0)
  const copy = join(service.folder, 'heads.json')
  await writeFile(copy, await readFile(headsFile()))
  await tamper(catalogue, `delete from receipt where instance_id = 'pgm-two'`)
  await tamper(catalogue, `delete from receipt_head where instance_id = 'pgm-two'`)
  for (const words of [[], ['--heads', copy]]) {
    const cut = await verify(...words)
    assert.equal(cut.code, 1)
    assert.match(String(cut.problems[0]?.['problem']), /number 1 is missing at the end/)
  }
  await service.stop('SIGTERM')
  await service.start()
  await until(async () => /receipts broken/.test(await service.log()), 'the start notices it')
  assert.match(await readFile(headsFile(), 'utf8'), /\["pgm-two",1,/)
})

test('refuses another key file before it calls receipts changed', async () => {
  const other = join(service.folder, 'other-key')
  await writeFile(other, `${'ab'.repeat(32)}\n`, { mode: 0o600 })
  const asked = { HOLDFAST_KEY_FILE: other }
  const { code, stdout, stderr } = await service.run('receipts', 'verify', asked)
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /does not open with this key/)
  await rm(other)
})

test('DescribeEvents shows receipts in the vendor’s shape', async () => {
  const reply = await service.ask('DescribeEvents', { RegionId: 'local', DBInstanceId: 'pgm-one' })
  const [newest, oldest] = eventsOf(reply)
  const { RequestId: _requestId, EventItems: _items, ...page } = reply
  assert.deepEqual(page, { PageNumber: 1, PageSize: 30, TotalRecordCount: 2 })
  const { EventId, EventPayload, ...shown } = oldest ?? {}
  assert.deepEqual(shown, {
    EventName: 'DeleteBackup',
    EventType: 'BackupRecovery',
    EventTime: '2026-11-24T07:05:40Z',
    EventRecordTime: '2026-11-24T07:05:40Z',
    EventReason: 'FROM_USER',
    EventUserType: 'USER',
    CallerUid: 1,
    ResourceType: 'instance',
    ResourceName: 'pgm-one',
    RegionId: 'local',
  })
  assert.equal(typeof EventId, 'number')
  assert.deepEqual(JSON.parse(String(EventPayload)), {
    Domain: 'holdfast',
    Api: 'DeleteBackup',
    Kind: 'delete',
    User: 'root',
    AccessKeyId: 'testAccessKeyId',
    SourceAddress: '127.0.0.1',
    RequestId: '0F0A8FCA-9D71-4A4B-9C7B-5D1F6E0C4C11',
    Receipt: 1,
    Details: { backupIds: ['100000001'], freedBytes: 12345 },
  })
  assert.deepEqual(
    [newest?.['EventName'], newest?.['EventReason'], newest?.['CallerUid']],
    ['DeleteBackup', 'FROM_SYSTEM', 0],
  )
})

test('DescribeEvents shows refused calls, in XML too, and refuses what it cannot read', async () => {
  const asked = { DBInstanceId: 'pgm-<none>', BackupId: '1' }
  const refused = await service.call('DeleteBackup', asked)
  assert.equal(refused.status, 404)
  const parameters = { RegionId: 'local', DBInstanceId: 'pgm-<none>' }
  const reply = await service.call('DescribeEvents', parameters, { format: 'XML' })
  const xml = new XMLParser().parse(reply.body).DescribeEventsResponse
  const item = xml.EventItems.EventItems
  assert.equal(item.ResourceName, 'pgm-<none>')
  const payload = JSON.parse(item.EventPayload)
  assert.equal(payload.RequestId, (refused.parsed as Reply)['RequestId'])
  assert.equal(payload.Kind, 'call-refused')
  assert.equal(payload.Details.code, 'InvalidDBInstanceName.NotFound')
  assert.equal(payload.Details.rule, 'D1')
  const bad: readonly (readonly [Record<string, string>, string])[] = [
    [{}, 'MissingRegionId'],
    [{ RegionId: 'elsewhere' }, 'InvalidRegion.NotFound'],
    [{ StartTime: 'yesterday' }, 'InvalidStartTime.Format'],
    [{ EndTime: '2026-02-30T00:00:00Z' }, 'InvalidEndTime.Format'],
    [
      { StartTime: '2026-11-24T07:00:00Z', EndTime: '2026-11-24T07:00:00Z' },
      'InvalidParameterCombination',
    ],
    [{ PageNumber: '0' }, 'InvalidPageNumbers.Malformed'],
    [{ PageSize: '101' }, 'InvalidMaxRecordsPerPage.Malformed'],
  ]
  for (const [changed, code] of bad) {
    const region = code === 'MissingRegionId' ? {} : { RegionId: 'local' }
    const { parsed } = await service.call('DescribeEvents', { ...region, ...changed })
    assert.equal((parsed as Reply)['Code'], code)
  }
  const ends = { StartTime: '2026-11-24T07:05:41Z', EndTime: '2026-11-24T07:06:41Z' }
  const range = { RegionId: 'local', ...ends, PageSize: '1' }
  assert.equal(eventsOf(await service.ask('DescribeEvents', range))[0]?.['ResourceName'], 'pgm-one')
})
