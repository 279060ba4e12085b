import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import { SILENT } from '../base/logger.ts'
import { genesisOf } from '../base/receipt-chain.ts'
import { readBody } from '../domain/receipt.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { appendReceipts, deletionOf, testChain } from '../testing/receipt-parts.ts'
import { copyCatalogue } from './copy-catalogue.ts'
import { openCatalogue, sqlOf } from './database.ts'
import { listEvents, recordEvent } from './events.ts'
import {
  appendReceipt,
  changedHeads,
  NOTHING_SEEN,
  nextReceipts,
  readReceipts,
} from './receipts.ts'
import { openPool } from './sql/connection.ts'

let opened: TestCatalogue
const chain = testChain()

before(async () => {
  opened = await openTestCatalogue('receipts')
})
after(() => opened[Symbol.asyncDispose]())

async function chainOf(instanceId: string) {
  return opened.catalogue.transaction((tx) => nextReceipts(tx, instanceId as InstanceId, null))
}

test('numbers receipts from 1, each linked to the one before it, the first to its instance', async () => {
  const { catalogue } = opened
  await appendReceipts(catalogue, chain, 'pgm-numbers', 2)
  const [first, second, ...none] = await chainOf('pgm-numbers')
  assert.deepEqual(none, [])
  assert.ok(first && second)
  assert.equal(first.previous, genesisOf('pgm-numbers'))
  assert.equal(first.hash, chain.link(first.previous, first.body))
  assert.equal(second.previous, first.hash)
  assert.equal(second.hash, chain.link(first.hash, second.body))
  assert.deepEqual(readBody(second.body), {
    ...deletionOf('pgm-numbers'),
    number: 2,
    event: second.event,
    recordedAt: second.recordedAt,
  })
})

test('shares the IDs of events, so that both are one list', async () => {
  const { catalogue } = opened
  const event = { kind: 'backup-failed', instanceId: null, details: {} } as const
  await catalogue.transaction((tx) => recordEvent(tx, event))
  await appendReceipts(catalogue, chain, 'pgm-shared', 1)
  await catalogue.transaction((tx) => recordEvent(tx, event))
  const ids = (await catalogue.transaction((tx) => listEvents(tx, 0))).map(({ id }) => id)
  const [receipt] = await chainOf('pgm-shared')
  const [before = 0, behind] = ids.slice(-2)
  assert.deepEqual([receipt?.event, behind], [before + 1, before + 2])
})

test('is there with what it proves, or not at all', async () => {
  const failing = opened.catalogue.transaction(async (tx) => {
    assert.equal(await appendReceipt(tx, chain, deletionOf('pgm-undone')), 1)
    throw new Error('the deletion fails')
  })
  await assert.rejects(failing, /the deletion fails/)
  assert.deepEqual(await chainOf('pgm-undone'), [])
  await appendReceipts(opened.catalogue, chain, 'pgm-undone', 1)
  assert.deepEqual(
    (await chainOf('pgm-undone')).map(({ number }) => number),
    [1],
  )
})

test('lets transactions that append at once follow each other, each with its number', async () => {
  const append = () =>
    opened.catalogue.transaction(async (tx) => {
      const first = await appendReceipt(tx, chain, deletionOf('pgm-race'))
      await sql`select pg_sleep(0.01)`.execute(sqlOf(tx))
      return [first, await appendReceipt(tx, chain, deletionOf('pgm-race', { kind: 'purge' }))]
    })
  const numbers = await Promise.all(Array.from({ length: 8 }, append))
  for (const [first = 0, second] of numbers) assert.equal(second, first + 1)
  assert.deepEqual(
    (await chainOf('pgm-race')).map(({ number }) => number),
    Array.from({ length: 16 }, (_, index) => index + 1),
  )
})

test('is never changed or removed by a statement that was not meant to', async () => {
  await appendReceipts(opened.catalogue, chain, 'pgm-lasting', 1)
  const statements = [
    `update receipt set kind = 'purge'`,
    `delete from receipt where instance_id = 'pgm-lasting'`,
    'truncate receipt',
    'delete from receipt_head',
    'truncate receipt_head',
  ]
  for (const statement of statements) {
    const run = opened.catalogue.transaction((tx) => sql.raw(statement).execute(sqlOf(tx)))
    await assert.rejects(run, /never changed or removed/)
  }
  assert.equal((await chainOf('pgm-lasting')).length, 1)
})

test('reads long chains page by page, of one instance or of all, in order', async () => {
  const { catalogue } = opened
  await catalogue.transaction(async (tx) => {
    for (let made = 0; made < 450; made += 1) {
      await appendReceipt(tx, chain, deletionOf('pgm-long'))
    }
  })
  const numbers: number[] = []
  for await (const { number } of readReceipts(catalogue, 'pgm-long' as InstanceId)) {
    numbers.push(number)
  }
  assert.deepEqual(
    numbers,
    Array.from({ length: 450 }, (_, index) => index + 1),
  )
  const all: string[] = []
  for await (const { instanceId } of readReceipts(catalogue, null)) all.push(instanceId)
  assert.ok(all.length > 450)
  assert.deepEqual(all, all.toSorted())
})

test('shows a head that is committed late, after others that began later', async () => {
  const { catalogue } = opened
  const started = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  const late = catalogue.transaction(async (tx) => {
    await appendReceipt(tx, chain, deletionOf('pgm-late'))
    started.resolve()
    await finish.promise
  })
  await started.promise
  await appendReceipts(catalogue, chain, 'pgm-early', 1)
  const look = (seen: string) => catalogue.transaction((tx) => changedHeads(tx, seen))
  const first = await look(NOTHING_SEEN)
  const seenIn = (looked: typeof first) => looked.heads.map(({ instanceId }) => String(instanceId))
  assert.ok(seenIn(first).includes('pgm-early'))
  assert.ok(!seenIn(first).includes('pgm-late'))
  finish.resolve()
  await late
  const second = await look(first.seen)
  assert.ok(seenIn(second).includes('pgm-late'))
  assert.ok(!seenIn(second).includes('pgm-long'), 'what changed long before is not looked at again')
  assert.deepEqual(seenIn(await look(second.seen)), [], 'nothing has changed since')
})

test('goes on in a catalogue that was copied to another server', async () => {
  const { catalogue } = opened
  await appendReceipts(catalogue, chain, 'pgm-copied', 2)
  const to = { ...catalogue.connection, database: 'copied' }
  const pool = openPool(catalogue.connection, () => {})
  await pool.query('create database copied')
  await pool.end()
  await copyCatalogue(catalogue.connection, to, SILENT, new AbortController().signal)
  await using copied = await openCatalogue(to, SILENT)
  await appendReceipts(copied, chain, 'pgm-copied', 1)
  const receipts = await copied.transaction((tx) =>
    nextReceipts(tx, 'pgm-copied' as InstanceId, null),
  )
  const [, second, third] = receipts
  assert.deepEqual(receipts.slice(0, 2), await chainOf('pgm-copied'))
  assert.equal(third?.previous, second?.hash)
  const { heads } = await copied.transaction((tx) => changedHeads(tx, NOTHING_SEEN))
  assert.equal(heads.find(({ instanceId }) => instanceId === 'pgm-copied')?.number, 3)
})

test('reads heads of transactions that this server has not come to yet only the first time', async () => {
  await using other = await openTestCatalogue('ahead')
  const { catalogue } = other
  await appendReceipts(catalogue, chain, 'pgm-ahead', 1)
  await catalogue.transaction((tx) =>
    sql`update receipt_head set changed = '4000000000000'::xid8`.execute(sqlOf(tx)),
  )
  const look = (seen: string) => catalogue.transaction((tx) => changedHeads(tx, seen))
  const first = await look(NOTHING_SEEN)
  assert.equal(first.heads.length, 1)
  const second = await look(first.seen)
  assert.deepEqual(second.heads, [])
  await appendReceipts(catalogue, chain, 'pgm-ahead', 1)
  assert.deepEqual(
    (await look(second.seen)).heads.map(({ number }) => number),
    [2],
  )
})
