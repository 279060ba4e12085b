import { type RawBuilder, sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { EventDetails, EventKind } from '../domain/event.ts'
import type { ReceiptKind } from '../domain/receipt.ts'
import type { Page } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** Events of ours that are told as what became of a call. */
export type ShownKind = Extract<EventKind, 'call-refused' | 'backup-finished' | 'backup-failed'>

interface Happened {
  /** Receipts and events are numbered together. */
  readonly id: number
  readonly at: Instant
  readonly instanceId: string | null
}

/** A receipt, whose body says all there is, or an event. */
export type DescribedEvent = Happened &
  (
    | { readonly source: 'receipt'; readonly kind: ReceiptKind; readonly body: string }
    | { readonly source: 'event'; readonly kind: ShownKind; readonly details: EventDetails }
  )

/** Null = not filtered by. Service times, both inclusive. */
export interface EventFilter {
  readonly instanceId: string | null
  readonly from: Instant | null
  readonly to: Instant | null
}

export interface EventPage {
  readonly events: readonly DescribedEvent[]
  /** Of those that are counted one by one, at most `COUNTED_MAX` of each source. */
  readonly total: number
}

interface Row extends Happened {
  readonly source: 'receipt' | 'event'
  readonly kind: string
  readonly body: string | null
  readonly details: EventDetails | null
}

/** Who asks for a page must not make the catalogue go through all that was ever recorded. */
export const COUNTED_MAX = 100_000

/** How far pages go: what stands before a page is gone through. Older events are found by their time. */
export const PAGED_MAX = 100_000

/** As in the indexes of migration 0005: only these are found without looking at the others. */
const SHOWN = sql`kind in ('call-refused', 'backup-finished', 'backup-failed')`

/** Receipts and what became of calls, newest first. A page costs what stands before it and on it. */
export async function describeEvents(
  tx: Transaction,
  filter: EventFilter,
  page: Page,
): Promise<EventPage> {
  const wanted = conditionOf(filter)
  const total = await countEvents(tx, filter, wanted)
  if (page.offset >= Math.min(total, PAGED_MAX)) return { events: [], total }
  const newest = sql`order by service_time desc, event desc limit ${page.offset + page.limit}`
  const { rows } = await sql<Row>`
    select event as id, source, kind, instance_id as "instanceId", service_time as at, body, details
    from (
      (select event, 'receipt' as source, kind, instance_id, service_time, body, null::jsonb as details
        from receipt where ${wanted} ${newest})
      union all
      (select event, 'event' as source, kind, instance_id, service_time, null as body, details
        from event where ${SHOWN} and ${wanted} ${newest})) both_of_them
    order by service_time desc, event desc offset ${page.offset} limit ${page.limit}`.execute(
    sqlOf(tx),
  )
  return { events: rows.map(toEvent), total }
}

function conditionOf({ instanceId, from, to }: EventFilter): RawBuilder<unknown> {
  const conditions = [
    ...(instanceId === null ? [] : [sql`instance_id = ${instanceId}`]),
    ...(from === null ? [] : [sql`service_time >= ${from}`]),
    ...(to === null ? [] : [sql`service_time <= ${to}`]),
  ]
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `)
}

/** All receipts are counted by their chains' heads; those of a range of time one by one. */
async function countEvents(
  tx: Transaction,
  { instanceId, from, to }: EventFilter,
  wanted: RawBuilder<unknown>,
): Promise<number> {
  const receipts =
    from === null && to === null
      ? sql`select coalesce(sum(n), 0)::bigint from receipt_head
          where ${instanceId === null ? sql`true` : sql`instance_id = ${instanceId}`}`
      : countUpTo(sql`receipt where ${wanted}`)
  const { rows } = await sql<{ total: number }>`
    select (${receipts}) + (${countUpTo(sql`event where ${SHOWN} and ${wanted}`)}) as total`.execute(
    sqlOf(tx),
  )
  return rows[0]?.total ?? 0
}

function countUpTo(rows: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select count(*) from (select 1 from ${rows} limit ${COUNTED_MAX}) counted`
}

function toEvent({ source, kind, body, details, ...happened }: Row): DescribedEvent {
  if (source === 'receipt') {
    invariant(body !== null, 'a receipt has a body')
    return { ...happened, source, kind: kind as ReceiptKind, body }
  }
  invariant(details !== null, 'an event has details')
  return { ...happened, source, kind: kind as ShownKind, details }
}
