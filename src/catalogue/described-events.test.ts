import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { HOUR_MS, type Instant } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { deletionOf, TEST_MOMENT, tamper, testChain } from '../testing/receipt-parts.ts'
import { sqlOf, type Transaction } from './database.ts'
import { COUNTED_MAX, describeEvents, type EventFilter, PAGED_MAX } from './described-events.ts'
import { recordEvent } from './events.ts'
import { appendReceipt } from './receipts.ts'

const chain = testChain()
const ALL: EventFilter = { instanceId: null, from: null, to: null }
let opened: TestCatalogue
/** Events by the number of the hour at which they happened, oldest first. */
const ids: number[] = []

function hour(number: number): Instant {
  return (TEST_MOMENT + number * HOUR_MS) as Instant
}

before(async () => {
  opened = await openTestCatalogue('described')
  const { catalogue } = opened
  for (let number = 0; number < 6; number += 1) {
    const instanceId = (number % 3 === 0 ? 'pgm-b' : 'pgm-a') as InstanceId
    await catalogue.transaction(async (tx) => {
      if (number % 2 === 0) {
        await appendReceipt(tx, chain, deletionOf(instanceId, { at: hour(number) }))
      } else await recordEvent(tx, { kind: 'call-refused', instanceId, details: { number } })
      await recordEvent(tx, { kind: 'disk-low', instanceId: null, details: {} })
    })
    const mine = `kind = 'call-refused' and details->>'number' = '${number}'`
    await tamper(catalogue, `update event set service_time = ${hour(number)} where ${mine}`)
  }
  const { events } = await describe()
  ids.push(...events.map(({ id }) => id).toReversed())
})
after(() => opened[Symbol.asyncDispose]())

function describe(changed: Partial<EventFilter> = {}, page = { offset: 0, limit: 30 }) {
  return opened.catalogue.transaction((tx) => describeEvents(tx, { ...ALL, ...changed }, page))
}

test('lists receipts and refused calls as one list, newest first, and nothing else', async () => {
  const { events, total } = await describe()
  assert.equal(total, 6)
  assert.deepEqual(
    events.map(({ source, at, instanceId }) => [source, (at - TEST_MOMENT) / HOUR_MS, instanceId]),
    [
      ['event', 5, 'pgm-a'],
      ['receipt', 4, 'pgm-a'],
      ['event', 3, 'pgm-b'],
      ['receipt', 2, 'pgm-a'],
      ['event', 1, 'pgm-a'],
      ['receipt', 0, 'pgm-b'],
    ],
  )
  assert.deepEqual(
    ids,
    ids.toSorted((a, b) => a - b),
  )
})

test('gives pages that together are the list, each once, with the number of all', async () => {
  const seen: number[] = []
  for (let offset = 0; offset < 8; offset += 2) {
    const { events, total } = await describe({}, { offset, limit: 2 })
    assert.equal(total, 6)
    seen.push(...events.map(({ id }) => id))
  }
  assert.deepEqual(seen, ids.toReversed())
})

test('filters by instance and by both ends of a time, and counts what it filters', async () => {
  const cases: readonly (readonly [Partial<EventFilter>, readonly number[]])[] = [
    [{ instanceId: 'pgm-b' }, [3, 0]],
    [{ instanceId: 'pgm-none' }, []],
    [{ from: hour(4) }, [5, 4]],
    [{ to: hour(1) }, [1, 0]],
    [{ from: hour(1), to: hour(3), instanceId: 'pgm-a' }, [2, 1]],
  ]
  for (const [filter, hours] of cases) {
    const { events, total } = await describe(filter)
    assert.deepEqual(
      events.map(({ at }) => (at - TEST_MOMENT) / HOUR_MS),
      hours,
    )
    assert.equal(total, hours.length)
  }
})

/** Rows of the table that this transaction has read, from it or by its indexes. */
async function rowsRead(tx: Transaction, table: string): Promise<number> {
  const { rows } = await sql<{ read: number }>`
    select seq_tup_read + coalesce(idx_tup_fetch, 0) as read from pg_stat_xact_user_tables
    where relname = ${table}`.execute(sqlOf(tx))
  return rows[0]?.read ?? 0
}

test('reads a page and not the history: the newest of 20,000 receipts, one instance or all', async () => {
  const { catalogue } = opened
  await tamper(
    catalogue,
    `insert into receipt
    select 'pgm-many', n, 1000000 + n, 'delete', ${hour(-30)} + n, 0, null, '{}', '', ''
    from generate_series(1, 20000) n`,
  )
  await tamper(catalogue, `insert into receipt_head values ('pgm-many', 20000, '')`)
  await tamper(catalogue, 'analyze receipt')
  for (const instanceId of [null, 'pgm-many']) {
    await catalogue.transaction(async (tx) => {
      const { events, total } = await describeEvents(
        tx,
        { ...ALL, instanceId },
        { offset: 0, limit: 30 },
      )
      assert.equal(events.length, 30)
      assert.equal(total, instanceId === null ? 20_006 : 20_000)
      const read = await rowsRead(tx, 'receipt')
      assert.ok(read <= 100, `${read} rows are read`)
    })
  }
})

test('counts a flood of events no further than to a bound, and receipts all the same', async () => {
  const before = (await describe()).total
  await tamper(
    opened.catalogue,
    `insert into event (kind, severity, channel, instance_id, service_time, details)
    select 'call-refused', 'info', 'record', 'pgm-flood', ${hour(-60)}, '{}'
    from generate_series(1, ${COUNTED_MAX + 1000})`,
  )
  const flood = await describe({ instanceId: 'pgm-flood' })
  assert.deepEqual([flood.events.length, flood.total], [30, COUNTED_MAX])
  const { total } = await describe()
  assert.equal(total, before - 3 + COUNTED_MAX)
  const ranged = await describe({ from: hour(-61), to: hour(-59) })
  assert.equal(ranged.total, COUNTED_MAX)
  const beyond = await describe({}, { offset: PAGED_MAX, limit: 30 })
  assert.deepEqual(beyond, { events: [], total })
})
