import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import { genesisOf, type ReceiptChain } from '../base/receipt-chain.ts'
import { bodyOf, type NewReceipt, type StoredReceipt } from '../domain/receipt.ts'
import type { ChainEnd } from '../domain/receipt-check.ts'
import type { Catalogue, Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { plannedOnce } from './sql/connection.ts'

/** Receipts that are read at once: some kilobytes each. */
const PAGE_RECEIPTS = 200

interface NextPlace extends ChainEnd {
  readonly event: number
  readonly recordedAt: Instant
}

/**
 * Appends a receipt in the transaction of what it proves; the instance's row is locked. Gives its
 * number in the instance's chain. Costs the same however many there are. The chain's head is locked
 * too until the transaction ends, so that numbers have no gaps whoever forgets the instance's lock.
 */
export async function appendReceipt(
  tx: Transaction,
  chain: ReceiptChain,
  receipt: NewReceipt,
): Promise<number> {
  const db = sqlOf(tx)
  const { instanceId } = receipt
  const { rows } = await sql<NextPlace>`${plannedOnce}
    insert into receipt_head as h (instance_id, n, hash)
    values (${instanceId}, 0, ${genesisOf(instanceId)})
    on conflict (instance_id) do update set n = h.n
    returning n as number, hash, nextval(pg_get_serial_sequence('event', 'event')) as event,
      (extract(epoch from clock_timestamp()) * 1000)::bigint as "recordedAt"`.execute(db)
  invariant(rows[0], 'a chain has a head')
  const { hash: previous, event, recordedAt } = rows[0]
  const number = rows[0].number + 1
  const body = bodyOf({ ...receipt, number, event, recordedAt })
  const hash = chain.link(previous, body)
  await sql`${plannedOnce}
    with made as (
      insert into receipt (instance_id, n, event, kind, service_time, recorded_at, request_id, body,
        previous, hash)
      values (${instanceId}, ${number}, ${event}, ${receipt.kind}, ${receipt.at}, ${recordedAt},
        ${receipt.requestId}, ${body}, ${previous}, ${hash}))
    update receipt_head set n = ${number}, hash = ${hash}, changed = pg_current_xact_id()
    where instance_id = ${instanceId}`.execute(db)
  return number
}

/** Where a page of receipts begins: after this one. */
export interface ReceiptPlace {
  readonly instanceId: InstanceId
  readonly number: number
}

/**
 * The next receipts after a place (null: from the first on), of one instance or of all, by instance
 * and number. An empty page: there are no more. Numbers that nobody of us wrote are read too, so that
 * they can be named.
 */
export async function nextReceipts(
  tx: Transaction,
  instanceId: InstanceId | null,
  after: ReceiptPlace | null,
): Promise<readonly StoredReceipt[]> {
  const beginning = after ?? { instanceId: instanceId ?? '', number: 0 }
  const { rows } = await sql<StoredReceipt>`
    select instance_id as "instanceId", n as number, event::float8 as event, kind,
      service_time::float8 as at, recorded_at::float8 as "recordedAt", request_id as "requestId", body, previous, hash
    from receipt
    where (instance_id, n) > (${beginning.instanceId}, ${beginning.number})
      and (${instanceId}::text is null or instance_id = ${instanceId})
    order by instance_id, n limit ${PAGE_RECEIPTS}`.execute(sqlOf(tx))
  return rows
}

/** The same one by one, page by page, each in a transaction of its own. */
export async function* readReceipts(
  catalogue: Catalogue,
  instanceId: InstanceId | null,
): AsyncIterable<StoredReceipt> {
  let after: ReceiptPlace | null = null
  for (;;) {
    const place: ReceiptPlace | null = after
    const page: readonly StoredReceipt[] = await catalogue.transaction((tx) =>
      nextReceipts(tx, instanceId, place),
    )
    yield* page
    after = page.at(-1) ?? null
    if (after === null) return
  }
}

/** The head of an instance's chain. */
export interface ReceiptHead extends ChainEnd {
  readonly instanceId: InstanceId
}

interface ChangedHead extends ReceiptHead {
  readonly seen: string
}

/** Heads that changed, and what to ask with the next time. */
export interface ChangedHeads {
  readonly heads: readonly ReceiptHead[]
  readonly seen: string
}

/** For the first time: every head is new. */
export const NOTHING_SEEN = '0'

/**
 * Heads that were committed since the look that gave `seen`, some of them once more. Transactions
 * end in another order than they begin, so what counts is the oldest one that still ran then. A head
 * that was copied from another server names a transaction of that one, which may be far ahead of this
 * one's: it is read the first time only, not at every look.
 */
export async function changedHeads(tx: Transaction, seen: string): Promise<ChangedHeads> {
  const until =
    seen === NOTHING_SEEN ? sql`` : sql`and changed < pg_snapshot_xmax(pg_current_snapshot())`
  const { rows } = await sql<ChangedHead>`
    select instance_id as "instanceId", n as number, hash,
      pg_snapshot_xmin(pg_current_snapshot())::text as seen
    from receipt_head where changed >= ${seen}::xid8 ${until} order by instance_id`.execute(
    sqlOf(tx),
  )
  return { heads: rows, seen: rows[0]?.seen ?? seen }
}

/** The heads that the catalogue knows, of one instance or of all. */
export async function listHeads(
  tx: Transaction,
  instanceId: InstanceId | null,
): Promise<readonly ReceiptHead[]> {
  const { rows } = await sql<ReceiptHead>`
    select instance_id as "instanceId", n as number, hash from receipt_head
    where ${instanceId}::text is null or instance_id = ${instanceId}
    order by instance_id`.execute(sqlOf(tx))
  return rows
}

/** Those of `heads` that are receipts of the catalogue, with that number and that hash. */
export async function foundHeads(
  tx: Transaction,
  heads: readonly ReceiptHead[],
): Promise<ReadonlySet<InstanceId>> {
  const { rows } = await sql<{ instanceId: InstanceId }>`
    select h.instance_id as "instanceId"
    from unnest(${heads.map((head) => head.instanceId)}::text[],
      ${heads.map((head) => head.number)}::int[],
      ${heads.map((head) => head.hash)}::text[]) as h (instance_id, n, hash)
    join receipt r using (instance_id, n, hash)`.execute(sqlOf(tx))
  return new Set(rows.map((row) => row.instanceId))
}
