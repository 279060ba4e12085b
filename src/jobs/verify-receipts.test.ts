import assert from 'node:assert/strict'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { machineNow } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { genesisOf } from '../base/receipt-chain.ts'
import { type Catalogue, sqlOf } from '../catalogue/database.ts'
import { listEvents, raiseAlarm } from '../catalogue/events.ts'
import { listHeads } from '../catalogue/receipts.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { appendReceipts, tamper, testChain } from '../testing/receipt-parts.ts'
import { writeHeadsFile } from './receipt-heads-file.ts'
import { type ReceiptVerification, tellReceiptFindings, verifyReceipts } from './verify-receipts.ts'

const chain = testChain()
const A = 'pgm-a' as InstanceId
const NEVER = new AbortController().signal

let opened: TestCatalogue
let file: string

before(async () => {
  opened = await openTestCatalogue('verify-receipts')
  file = join(opened.folder.root, 'receipt-heads.json')
  for (const id of ['pgm-a', 'pgm-b']) await appendReceipts(opened.catalogue, chain, id, 5)
  await keepHeads(opened.catalogue)
})
after(() => opened[Symbol.asyncDispose]())

async function keepHeads(catalogue: Catalogue): Promise<void> {
  const heads = await catalogue.transaction((tx) => listHeads(tx, null))
  const chains = new Map(heads.map(({ instanceId, ...end }) => [instanceId, end]))
  await writeHeadsFile(file, chain, { began: machineNow(), chains })
}

function verify(instanceId: InstanceId | null = null): Promise<ReceiptVerification> {
  const needs = { catalogue: opened.catalogue, receipts: chain, receiptHeadsFile: file }
  return verifyReceipts(needs, instanceId, NEVER)
}

/** What verify says, as `instance number: problem`. */
async function problems(instanceId: InstanceId | null = null): Promise<readonly string[]> {
  const found = await verify(instanceId)
  assert.equal(found.problemCount, found.problems.length)
  return found.problems.map((one) => `${one.instanceId} ${one.number}: ${one.problem}`)
}

/** What somebody does, what verify finds, and everything as it was. */
async function tampered(
  ...steps: readonly (string | (() => Promise<void>))[]
): Promise<readonly string[]> {
  const { catalogue } = opened
  const copy = (to: string, from: string) =>
    catalogue.transaction((tx) => sql.raw(`create table ${to} as table ${from}`).execute(sqlOf(tx)))
  await copy('saved_receipt', 'receipt')
  await copy('saved_head', 'receipt_head')
  try {
    for (const step of steps) {
      await (typeof step === 'string' ? tamper(catalogue, step) : step())
    }
    return await problems()
  } finally {
    await tamper(catalogue, 'truncate receipt, receipt_head')
    await tamper(catalogue, 'insert into receipt table saved_receipt')
    await tamper(catalogue, 'insert into receipt_head table saved_head')
    await tamper(catalogue, 'drop table saved_receipt, saved_head')
  }
}

const WRITTEN = 'what it says, or its hash, was not written with the key of this service'
const FOLLOWS = 'it does not follow the receipt that stands before it'
const AT_A3 = `where instance_id = 'pgm-a' and n = 3`

test('finds nothing wrong with what the service wrote, also of one instance alone', async () => {
  const { heads, ...found } = await verify()
  assert.deepEqual(found, { chains: 2, receipts: 10, problems: [], problemCount: 0 })
  assert.equal(heads?.chains, 2)
  assert.deepEqual(await problems(A), [])
  assert.equal((await verify(A)).receipts, 5)
})

test('names the receipt whose body was changed', async () => {
  const found = await tampered(`update receipt set body = replace(body, '12345', '12346') ${AT_A3}`)
  assert.deepEqual(found, [`pgm-a 3: ${WRITTEN}`])
})

for (const [column, value, problem] of [
  ['kind', `'undelete'`, 'its kind is shown as undelete, but it says delete'],
  ['service_time', 'service_time + 1', /^its service time is shown as .*124Z, but it says .*123Z$/],
  ['service_time', '9223372036854775807', / is shown as 9223372036854776000 ms, but it says /],
  ['recorded_at', 'recorded_at - 1', /^its time is shown as .*, but it says .*$/],
  ['request_id', 'null', /^its request is shown as null, but it says 0F0A/],
  ['event', 'event + 1000', /^its event is shown as \d+, but it says \d+$/],
] as const) {
  test(`names the receipt whose column ${column} became ${value}`, async () => {
    const [first, ...more] = await tampered(`update receipt set ${column} = ${value} ${AT_A3}`)
    assert.deepEqual(more, [])
    const [, said = ''] = first?.split('pgm-a 3: ') ?? []
    if (typeof problem === 'string') assert.equal(said, problem)
    else assert.match(said, problem)
  })
}

test('names the receipt whose body and column were changed alike', async () => {
  const found = await tampered(
    `update receipt set kind = 'purge', body = replace(body, '"delete"', '"purge"') ${AT_A3}`,
  )
  assert.deepEqual(found, [`pgm-a 3: ${WRITTEN}`])
})

test('names the receipt whose hash was changed, and the one that no longer follows it', async () => {
  const found = await tampered(`update receipt set hash = repeat('0', 64) ${AT_A3}`)
  assert.deepEqual(found, [`pgm-a 3: ${WRITTEN}`, `pgm-a 4: ${FOLLOWS}`])
})

test('names a receipt that was dropped', async () => {
  const found = await tampered(`delete from receipt ${AT_A3}`)
  assert.deepEqual(found, ['pgm-a 4: number 3 is missing before it'])
})

test('names a receipt that was dropped and whose number another took', async () => {
  const found = await tampered(
    `delete from receipt ${AT_A3}`,
    `update receipt set n = 3 where instance_id = 'pgm-a' and n = 4`,
  )
  assert.ok(found.includes(`pgm-a 3: ${FOLLOWS}`), found.join('\n'))
  assert.ok(found.includes('pgm-a 3: its number is shown as 3, but it says 4'))
})

test('names the last receipts, dropped by somebody who moved the catalogue’s head too', async () => {
  const alone = await tampered(`delete from receipt where instance_id = 'pgm-a' and n > 3`)
  assert.deepEqual(alone, [
    `pgm-a 5: numbers 4 to 5 are missing at the end: the catalogue's head is 5`,
    'pgm-a 5: numbers 4 to 5 are missing at the end, though receipt 5 was kept as the head',
  ])
  const both = await tampered(
    `delete from receipt where instance_id = 'pgm-a' and n > 3`,
    `update receipt_head h set n = 3, hash = r.hash from receipt r
       where h.instance_id = 'pgm-a' and r.instance_id = 'pgm-a' and r.n = 3`,
  )
  assert.deepEqual(both, [
    'pgm-a 5: numbers 4 to 5 are missing at the end, though receipt 5 was kept as the head',
  ])
  const whole = await tampered(
    `delete from receipt where instance_id = 'pgm-a'`,
    `delete from receipt_head where instance_id = 'pgm-a'`,
  )
  assert.deepEqual(whole, [
    'pgm-a 5: numbers 1 to 5 are missing at the end, though receipt 5 was kept as the head',
  ])
})

test('names two receipts of a chain that were swapped', async () => {
  const found = await tampered(
    `update receipt set n = case n when 2 then 1003 else 1002 end
       where instance_id = 'pgm-a' and n in (2, 3)`,
    `update receipt set n = n - 1000 where n > 1000`,
  )
  for (const number of [2, 3]) assert.ok(found.includes(`pgm-a ${number}: ${FOLLOWS}`))
  assert.ok(found.includes('pgm-a 2: its number is shown as 2, but it says 3'))
})

test('names receipts that were swapped between instances, first ones too', async () => {
  const found = await tampered(
    `update receipt set instance_id = case instance_id when 'pgm-a' then 'x' else 'y' end
       where n = 1`,
    `update receipt set instance_id = case instance_id when 'x' then 'pgm-b' else 'pgm-a' end
       where instance_id in ('x', 'y')`,
  )
  for (const [here, there] of [
    ['pgm-a', 'pgm-b'],
    ['pgm-b', 'pgm-a'],
  ]) {
    assert.ok(found.includes(`${here} 1: ${FOLLOWS}`), found.join('\n'))
    assert.ok(found.includes(`${here} 1: its instance is shown as ${here}, but it says ${there}`))
  }
})

test('names a receipt that was put in between or at the end', async () => {
  const copy = (n: string, where: string) => `insert into receipt
    select instance_id, ${n}, event + 1000, kind, service_time, recorded_at, request_id, body,
      previous, hash from receipt ${where}`
  const atEnd = await tampered(copy('6', AT_A3))
  assert.ok(atEnd.includes(`pgm-a 6: ${FOLLOWS}`), atEnd.join('\n'))
  assert.ok(atEnd.includes("pgm-a 5: the chain goes on to 6, after the catalogue's head"))
  const between = await tampered(
    `update receipt set n = n + 1000 where instance_id = 'pgm-a' and n > 2`,
    `update receipt set n = n - 999 where n > 1000`,
    copy('3', `where instance_id = 'pgm-a' and n = 2`),
  )
  assert.ok(between.includes(`pgm-a 3: ${FOLLOWS}`), between.join('\n'))
  assert.ok(between.includes('pgm-a 3: its number is shown as 3, but it says 2'))
})

test('names a whole tail that was written anew without the key', async () => {
  const found = await tampered(
    `delete from receipt where instance_id = 'pgm-a' and n > 3`,
    `update receipt_head h set n = 3, hash = r.hash from receipt r
       where h.instance_id = 'pgm-a' and r.instance_id = 'pgm-a' and r.n = 3`,
    // Linked, numbered and shown as they should be, but under another key.
    () => appendReceipts(opened.catalogue, testChain(8), 'pgm-a', 2),
  )
  assert.deepEqual(found, [
    `pgm-a 4: ${WRITTEN}`,
    `pgm-a 5: ${WRITTEN}`,
    'pgm-a 5: another one was kept as the head',
  ])
})

test('names a chain that has no head, and one that was begun anew in its place', async () => {
  const headless = await tampered(`delete from receipt_head where instance_id = 'pgm-b'`)
  assert.deepEqual(headless, ['pgm-b 5: the catalogue has no head of the chain'])
  const genesis = await tampered(
    `update receipt set previous = '${genesisOf('pgm-b')}' where instance_id = 'pgm-a' and n = 1`,
  )
  assert.deepEqual(genesis, [`pgm-a 1: ${FOLLOWS}`, `pgm-a 1: ${WRITTEN}`])
})

test('tells of a file of heads that is missing, was changed, or is of another key', async () => {
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('["pgm-a",5', '["pgm-a",4'))
  assert.match((await problems())[0] ?? '', /was not written, as it is, with the key/)
  const heads = await opened.catalogue.transaction((tx) => listHeads(tx, null))
  const chains = new Map(heads.map(({ instanceId, ...end }) => [instanceId, end]))
  await writeHeadsFile(file, testChain(8), { began: machineNow(), chains })
  assert.match((await problems())[0] ?? '', /was not written, as it is, with the key/)
  await rename(file, `${file}.away`)
  assert.match((await problems())[0] ?? '', /receipt-heads\.json is missing/)
  await writeFile(file, text)
  assert.deepEqual(await problems(), [])
})

test('records what it found, every time, and ends what was told when all is in order', async () => {
  const { catalogue } = opened
  const kinds = async () =>
    (await catalogue.transaction((tx) => listEvents(tx, 0))).map(({ kind }) => kind)
  const alarm = { kind: 'receipts-broken', instanceId: A, details: { problem: 'x' } } as const
  await catalogue.transaction((tx) => raiseAlarm(tx, A, alarm))
  const wrong = { instanceId: 'pgm-a', number: 3, problem: WRITTEN }
  const found = { chains: 1, receipts: 5, problems: [wrong], problemCount: 1 }
  await tellReceiptFindings(catalogue, found, null)
  const good = { ...found, problems: [], problemCount: 0 }
  await tellReceiptFindings(catalogue, good, A)
  assert.deepEqual(await kinds(), ['receipts-broken', 'receipts-broken'])
  await tellReceiptFindings(catalogue, good, null)
  await tellReceiptFindings(catalogue, good, null)
  assert.deepEqual((await kinds()).slice(2), ['receipts-broken-ended'])
})
