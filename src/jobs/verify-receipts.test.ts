import assert from 'node:assert/strict'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { machineNow } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { genesisOf } from '../base/receipt-chain.ts'
import { type Catalogue, sqlOf } from '../catalogue/database.ts'
import { alarmsOf, listEvents, raiseAlarm } from '../catalogue/events.ts'
import { listHeads } from '../catalogue/receipts.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { appendReceipts, tamper, testChain } from '../testing/receipt-parts.ts'
import { headsLockOf, writeHeadsFile } from './receipt-heads-file.ts'
import {
  type HeadsFrom,
  type ReceiptVerification,
  tellReceiptFindings,
  verifyReceipts,
} from './verify-receipts.ts'

const chain = testChain()
const A = 'pgm-a' as InstanceId
const KEEPER = 'keeper0123456789'
const NEVER = new AbortController().signal

let opened: TestCatalogue
let file: string

before(async () => {
  opened = await openTestCatalogue('verify-receipts')
  file = join(opened.folder.root, 'receipt-heads.json')
  await writeFile(headsLockOf(file), `${KEEPER}\n`)
  for (const id of ['pgm-a', 'pgm-b']) await appendReceipts(opened.catalogue, chain, id, 5)
  await keepHeads(opened.catalogue)
})
after(() => opened[Symbol.asyncDispose]())

async function keepHeads(catalogue: Catalogue): Promise<void> {
  const heads = await catalogue.transaction((tx) => listHeads(tx, null))
  const chains = new Map(heads.map(({ instanceId, ...end }) => [instanceId, end]))
  await writeHeadsFile(file, chain, { began: machineNow(), chains })
}

function needsOf(headsFrom: HeadsFrom) {
  const { catalogue } = opened
  return { catalogue, receipts: chain, receiptHeadsFile: file, headsFrom }
}

function verify(
  instanceId: InstanceId | null = null,
  headsFrom: HeadsFrom = 'own',
): Promise<ReceiptVerification> {
  return verifyReceipts(needsOf(headsFrom), instanceId, NEVER)
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
  assert.deepEqual(found, { note: null, chains: 2, receipts: 10, problems: [], problemCount: 0 })
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

/** What the catalogue has recorded of receipts meanwhile. */
async function newKinds(work: () => Promise<void>): Promise<readonly string[]> {
  const events = () => opened.catalogue.transaction((tx) => listEvents(tx, 0))
  const before = (await events()).at(-1)?.id ?? 0
  await work()
  return (await events()).filter(({ id }) => id > before).map(({ kind }) => kind)
}

async function raise(subject: string): Promise<void> {
  const alarm = { kind: 'receipts-broken', instanceId: A, details: { problem: 'x' } } as const
  await opened.catalogue.transaction((tx) => raiseAlarm(tx, subject, alarm))
}

function tell(
  found: ReceiptVerification,
  instanceId: InstanceId | null = null,
  headsFrom: HeadsFrom = 'own',
): Promise<void> {
  return tellReceiptFindings(needsOf(headsFrom), found, instanceId)
}

test('records what it found, every time, and ends what was told when all is in order', async () => {
  await raise(`pgm-a ${KEEPER}`)
  const good = await verify()
  const wrong = { instanceId: 'pgm-a', number: 3, problem: WRITTEN }
  const bad = { ...good, problems: [wrong], problemCount: 1 }
  const before = await newKinds(async () => {
    await tell(bad)
    await tell(bad)
    await tell(good, A)
  })
  assert.deepEqual(before, ['receipts-broken', 'receipts-broken'])
  const after = await newKinds(async () => {
    await tell(good)
    await tell(good)
  })
  assert.deepEqual(after, ['receipts-broken-ended'])
})

test('ends no alarm that another data folder raised, nor any against a file that was given', async () => {
  await raise('pgm-a another0folder00')
  await raise(`pgm-a ${KEEPER}`)
  const given = await newKinds(async () => tell(await verify(null, 'given'), null, 'given'))
  assert.deepEqual(given, [])
  assert.deepEqual(await newKinds(async () => tell(await verify())), ['receipts-broken-ended'])
  const left = await opened.catalogue.transaction((tx) => alarmsOf(tx, 'receipts-broken'))
  assert.deepEqual(left, ['pgm-a another0folder00'])
})

test('notes that a data folder never kept heads, and tells nobody of it', async () => {
  await raise(`pgm-a ${KEEPER}`)
  const away = [file, headsLockOf(file)]
  for (const name of away) await rename(name, `${name}.away`)
  const kinds = await newKinds(async () => {
    const found = await verify()
    assert.deepEqual([found.problemCount, found.heads], [0, null])
    assert.match(found.note ?? '', /no process with workers has kept heads in this data folder/)
    await tell(found)
  })
  assert.deepEqual(kinds, [])
  for (const name of away) await rename(`${name}.away`, name)
})

test('calls a file that was named wrong when it is missing, and tells only of the catalogue', async () => {
  await rename(file, `${file}.away`)
  const kinds = await newKinds(async () => {
    const missing = await verify(null, 'given')
    assert.match(missing.problems[0]?.problem ?? '', /is missing/)
    await tell(missing, null, 'given')
    const cut = { instanceId: 'pgm-a', number: 5, problem: 'numbers 4 to 5 are missing at the end' }
    await tell({ ...missing, problems: [...missing.problems, cut] }, null, 'given')
  })
  assert.deepEqual(kinds, ['receipts-broken'])
  await rename(`${file}.away`, file)
})
