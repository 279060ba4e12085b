import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import {
  channelOf,
  type EventDetails,
  type EventKind,
  type Severity,
  severityOf,
} from '../domain/event.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

const KEPT_DAYS = 30
/** What nobody could be told of for so long is not told any more. */
const TOLD_WITHIN_HOURS = 24
/** Details are for one look; what is longer is cut. */
const TEXT_CHARACTERS_MAX = 1000
const LIST_LENGTH_MAX = 10

export interface NewEvent {
  readonly kind: EventKind
  readonly instanceId: InstanceId | null
  readonly details: EventDetails
}

/** An event that waits to be told, or that was. */
export interface EventRecord {
  readonly id: number
  readonly kind: EventKind
  readonly severity: Severity
  readonly instanceId: InstanceId | null
  readonly serviceTime: Instant
  /** Real time. */
  readonly happenedAt: Instant
  readonly details: EventDetails
}

/** Service time as the catalogue knows it: its own clock, and how far the service's is ahead. */
const SERVICE_NOW = sql`(extract(epoch from clock_timestamp()) * 1000)::bigint
  + coalesce((select value::bigint from setting where name = 'clock-offset-ms'), 0)`

/** In the transaction of what it tells: both are there, or neither. */
export async function recordEvent(tx: Transaction, event: NewEvent): Promise<void> {
  const { kind, instanceId, details } = event
  await sql`
    insert into event (kind, severity, channel, instance_id, service_time, details)
    values (${kind}, ${severityOf(kind)}, ${channelOf(kind)}, ${instanceId}, ${SERVICE_NOW},
      ${JSON.stringify(bounded(details))})`.execute(sqlOf(tx))
}

/**
 * Records the event unless the same was said of this subject and has not ended since. True when it
 * was news.
 */
export async function raiseAlarm(
  tx: Transaction,
  subject: string,
  event: NewEvent,
): Promise<boolean> {
  const { rows } = await sql`
    insert into alarm (kind, subject) values (${event.kind}, ${subject})
    on conflict do nothing returning 1`.execute(sqlOf(tx))
  if (rows.length > 0) await recordEvent(tx, event)
  return rows.length > 0
}

/** The same of what is seen again and again: the alarm says when it was seen last. */
export async function raiseAgain(
  tx: Transaction,
  subject: string,
  event: NewEvent,
): Promise<boolean> {
  if (await raiseAlarm(tx, subject, event)) return true
  await sql`update alarm set raised_at = now()
    where kind = ${event.kind} and subject = ${subject}`.execute(sqlOf(tx))
  return false
}

/** Records `ended` if an alarm of that kind was raised about the subject. True when it was. */
export async function endAlarm(
  tx: Transaction,
  kind: EventKind,
  subject: string,
  ended: NewEvent,
): Promise<boolean> {
  const { rows } = await sql`
    delete from alarm where kind = ${kind} and subject = ${subject} returning 1`.execute(sqlOf(tx))
  if (rows.length > 0) await recordEvent(tx, ended)
  return rows.length > 0
}

/** What alarms of a kind are about. */
export async function alarmsOf(tx: Transaction, kind: EventKind): Promise<readonly string[]> {
  const { rows } = await sql<{ subject: string }>`
    select subject from alarm where kind = ${kind} order by subject`.execute(sqlOf(tx))
  return rows.map((row) => row.subject)
}

/** Records `ended` once if an alarm of that kind was raised about any of the subjects. */
export async function endAlarms(
  tx: Transaction,
  kind: EventKind,
  subjects: readonly string[],
  ended: NewEvent,
): Promise<void> {
  const { rows } = await sql`
    delete from alarm where kind = ${kind} and subject = any(${subjects}::text[])
    returning 1`.execute(sqlOf(tx))
  if (rows.length > 0) await recordEvent(tx, ended)
}

const RECORD = sql`event as id, kind, severity, instance_id as "instanceId",
  service_time as "serviceTime", (extract(epoch from happened_at) * 1000)::bigint as "happenedAt",
  details`

/** The first event that waits to be notified; null when none does. */
export async function nextToNotify(tx: Transaction): Promise<EventRecord | null> {
  const { rows } = await sql<EventRecord>`
    select ${RECORD} from event
    where channel = 'notification' and notified_at is null and given_up_at is null
    order by event limit 1`.execute(sqlOf(tx))
  return rows[0] ?? null
}

/** All events after one, oldest first; at most a thousand. */
export async function listEvents(tx: Transaction, after: number): Promise<readonly EventRecord[]> {
  const { rows } = await sql<EventRecord>`
    select ${RECORD} from event where event > ${after} order by event limit 1000`.execute(sqlOf(tx))
  return rows
}

export async function markNotified(tx: Transaction, id: number): Promise<void> {
  await sql`update event set notified_at = now(), tries = tries + 1
    where event = ${id} and notified_at is null`.execute(sqlOf(tx))
}

/** Counts a failed try; true when it was the last, because the event is too old by now. */
export async function countFailedTry(tx: Transaction, id: number): Promise<boolean> {
  const { rows } = await sql<{ over: boolean }>`
    update event set tries = tries + 1,
      given_up_at = case when happened_at < now() - ${TOLD_WITHIN_HOURS} * interval '1 hour'
        then now() end
    where event = ${id}
    returning given_up_at is not null as over`.execute(sqlOf(tx))
  invariant(rows[0], 'an event that waits is not removed')
  return rows[0].over
}

/** The newest backup that the dead-man's watcher has not heard of; null when there is none. */
export async function newestPing(tx: Transaction): Promise<number | null> {
  const { rows } = await sql<{ id: number | null }>`
    select max(event) as id from event
    where channel = 'dead-man' and notified_at is null and given_up_at is null`.execute(sqlOf(tx))
  return rows[0]?.id ?? null
}

/** One request answers for every backup that finished before: their pings have the same outcome. */
export async function endPings(
  tx: Transaction,
  upTo: number,
  outcome: 'told' | 'given-up',
): Promise<void> {
  const column = sql.ref(outcome === 'told' ? 'notified_at' : 'given_up_at')
  await sql`update event set ${column} = now()
    where channel = 'dead-man' and event <= ${upTo}
      and notified_at is null and given_up_at is null`.execute(sqlOf(tx))
}

/**
 * What nobody tried to tell within a day, because nobody was named who wants to hear it, is not told
 * to whoever is named later.
 */
export async function passOverOld(tx: Transaction): Promise<void> {
  await sql`update event set given_up_at = now()
    where notified_at is null and given_up_at is null and tries = 0
      and happened_at < now() - ${TOLD_WITHIN_HOURS} * interval '1 hour'`.execute(sqlOf(tx))
}

/**
 * Old events go; so do alarms that nothing would ever end: about damage, gone instances, and receipts
 * of which no data folder has said anything for as long.
 */
export async function forgetEvents(tx: Transaction): Promise<void> {
  const db = sqlOf(tx)
  await sql`delete from event where happened_at < now() - ${KEPT_DAYS} * interval '1 day'`.execute(
    db,
  )
  await sql`delete from alarm where kind in ('damage-found', 'receipts-broken')
    and raised_at < now() - ${KEPT_DAYS} * interval '1 day'`.execute(db)
  await sql`delete from alarm a where kind in ('backup-overdue', 'standby-lost')
    and not exists (select 1 from instance i
      where i.instance_id = a.subject and i.status in ('Running', 'Stopped'))`.execute(db)
}

function bounded(details: EventDetails): EventDetails {
  // jsonb takes neither NUL nor half of a character.
  const cut = (text: string) =>
    text.slice(0, TEXT_CHARACTERS_MAX).replaceAll('\0', '\ufffd').toWellFormed()
  const entries = Object.entries(details).map(([name, value]) => {
    if (typeof value === 'string') return [name, cut(value)]
    if (typeof value !== 'object') return [name, value]
    return [name, value.slice(0, LIST_LENGTH_MAX).map(cut)]
  })
  return Object.fromEntries(entries) as EventDetails
}
