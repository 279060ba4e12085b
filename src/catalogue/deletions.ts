import { sql } from 'kysely'
import { type Instant, instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import type { Actor } from '../domain/receipt.ts'
import type { Cause } from '../domain/verdict.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import type { DecidedPurge } from './endings.ts'
import { purgeSets } from './endings.ts'
import { type Forecast, foretell } from './forecast.ts'
import { type Member, membersNamed } from './members.ts'
import { beingReadSql } from './pins.ts'
import { lockSeries } from './series.ts'
import { plannedOnce } from './sql/connection.ts'

/** Where a deleted set has no window, or it was ended by hand: before every instant of any clock. */
export const WINDOW_ENDED = instant(0)

/** Until when a set that is deleted at `now` can be brought back. */
export function windowEnd(now: Instant, undeleteWindowMs: number): Instant {
  return undeleteWindowMs === 0 ? WINDOW_ENDED : instant(now + undeleteWindowMs)
}

/** Who deleted what, for the record and for the order in which purges are decided. */
export interface DeletionRecord {
  readonly cause: Cause
  readonly requestId: string | null
  readonly actor: Actor
  readonly deletedAt: Instant
  /** Until then, and no longer, the sets can be brought back; see `windowEnd`. */
  readonly purgeAfter: Instant
}

/**
 * Takes kept sets out of every list, in one transaction with what was foretold. The caller has
 * judged them under the instance's lock, and may have read them as members then; without an undelete
 * window it asks for the purge job in the same transaction.
 */
export async function deleteSets(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  record: DeletionRecord,
  members?: readonly Member[],
): Promise<Forecast> {
  const of = await lockSeries(tx, instanceId)
  const at = instant(Math.max(record.purgeAfter, record.deletedAt))
  const mine = members ?? (await membersNamed(tx, of.series, setIds))
  const forecast = await foretell(tx, of, mine, at)
  const marked = await markDeleted(tx, of.series, setIds, record, forecast)
  invariant(marked === setIds.length, 'every judged set is still kept')
  return forecast
}

/** One statement: what it would cost by itself is mostly the way there and back. */
async function markDeleted(
  tx: Transaction,
  series: SeriesId,
  setIds: readonly BackupSetId[],
  record: DeletionRecord,
  forecast: Forecast,
): Promise<number> {
  const { actor } = record
  const { rows } = await sql<{ count: number }>`${plannedOnce}
    with made as (
      insert into deletion (series, request_id, access_key_id, user_name, address, cause, deleted_at,
        purge_after, set_ids, released_bytes, freed_bytes)
      values (${series}, ${record.requestId ?? ''}, ${actor.accessKeyId ?? ''}, ${actor.user},
        ${actor.address ?? ''}, ${record.cause}, ${record.deletedAt}, ${record.purgeAfter},
        ${setIds}::bigint[], ${forecast.releasedBytes}, ${forecast.freedBytes})
      returning deletion),
    marked as (
      update backup_set set state = 'deleted', deletion = (select deletion from made),
        purge_after = ${record.purgeAfter}
      where series = ${series} and state = 'kept' and set_id = any(${setIds}::bigint[])
      returning 1)
    update series set kept_count = kept_count - (select count(*) from marked)
    where series = ${series}
    returning (select count(*) from marked) as count`.execute(sqlOf(tx))
  return rows[0]?.count ?? 0
}

/** A deleted set that can still be brought back. */
export interface DeletedSet {
  readonly id: BackupSetId
  readonly instanceId: InstanceId
  readonly startedAt: Instant
  readonly finishedAt: Instant
  readonly consistentAt: Instant
  readonly mode: 'Manual' | 'Automated'
  readonly contentBytes: number
  readonly deletedAt: Instant
  readonly cause: Cause
  readonly purgeAfter: Instant
}

const DELETED = sql`s.set_id as id, s.instance_id as "instanceId", s.started_at as "startedAt",
  s.finished_at as "finishedAt", s.consistent_at as "consistentAt", s.mode,
  s.content_bytes as "contentBytes", d.deleted_at as "deletedAt", d.cause,
  s.purge_after as "purgeAfter"`

/** Sets of an instance in their undelete window, those named or all, the one that ends next first. */
export async function listDeletedSets(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly string[] | null,
  now: Instant,
  page: { readonly offset: number; readonly limit: number },
): Promise<{ readonly sets: readonly DeletedSet[]; readonly total: number }> {
  const listed = sql`
    from backup_set s join deletion d using (deletion) join series r on r.series = s.series
    where r.instance_id = ${instanceId} and s.state = 'deleted' and s.purge_after > ${now}
      and (${setIds}::text[] is null or s.set_id::text = any(${setIds}::text[]))`
  const db = sqlOf(tx)
  const counted = await sql<{ total: number }>`select count(*) as total ${listed}`.execute(db)
  const { rows } = await sql<DeletedSet>`
    select ${DELETED} ${listed} order by s.purge_after, s.set_id
    limit ${page.limit} offset ${page.offset}`.execute(db)
  return { sets: rows, total: counted.rows[0]?.total ?? 0 }
}

/**
 * For statements that name sets by ID. Spelt so that no index of deleted sets fits: of those there can
 * be many, and the planner would take reading all of them for cheaper than looking some up.
 */
const DELETED_BY_ID = sql`state is not distinct from 'deleted'`

/** Brings back sets that are in their undelete window; their data retention counts from now on. */
export async function undeleteSets(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  now: Instant,
): Promise<void> {
  const { series } = await lockSeries(tx, instanceId)
  const back = await sql`${plannedOnce}
    update backup_set set state = 'kept', deletion = null, purge_after = null,
      retained_from = ${now}
    where series = ${series} and ${DELETED_BY_ID} and purge_after > ${now}
      and set_id = any(${setIds}::bigint[]) returning 1`.execute(sqlOf(tx))
  invariant(back.rows.length === setIds.length, 'every named set is in its window')
  await countKept(tx, series, back.rows.length)
}

/**
 * Ends the undelete window of deleted sets for good: also for a clock that steps back before the purge
 * is decided. The caller asks for the purge job as well.
 */
export async function endWindows(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
): Promise<void> {
  const { series } = await lockSeries(tx, instanceId)
  const ended = await sql`${plannedOnce}
    update backup_set set purge_after = ${WINDOW_ENDED}
    where series = ${series} and ${DELETED_BY_ID} and set_id = any(${setIds}::bigint[])
    returning 1`.execute(sqlOf(tx))
  invariant(ended.rows.length === setIds.length, 'every named set is deleted and not purged')
}

/** A purge with the call that asked for its deletion; null when nobody did (expiry). */
export type DecidedDeletion = DecidedPurge & { readonly requestId: string | null }

/**
 * Decides the next purge that is due: the unpinned sets of the oldest deletion whose undelete window
 * is over. Null when there is none. One decision per transaction, in the order of the deletions, so
 * that what was foretold is what happens.
 */
export async function purgeNext(
  tx: Transaction,
  instanceId: InstanceId,
  now: Instant,
): Promise<DecidedDeletion | null> {
  const { series } = await lockSeries(tx, instanceId)
  const due = sql`s.series = ${series} and s.state = 'deleted' and s.purge_after <= ${now}
    and not ${beingReadSql}`
  const { rows } = await sql<{ number: SetNumber; requestId: string | null }>`
    select s.number, nullif(d.request_id, '') as "requestId"
    from backup_set s join deletion d using (deletion)
    where ${due} and s.deletion = (
      select s.deletion from backup_set s where ${due} order by s.deletion limit 1)
    order by s.number`.execute(sqlOf(tx))
  const [first] = rows
  if (!first) return null
  const numbers = rows.map((row) => row.number)
  const purge = await purgeSets(tx, series, numbers, now)
  return { ...purge, requestId: first.requestId }
}

/** Instances that have something due to purge: a set unpinned meanwhile, or a window that is over. */
export async function instancesDueForPurge(
  tx: Transaction,
  now: Instant,
): Promise<readonly InstanceId[]> {
  const { rows } = await sql<{ instanceId: InstanceId }>`
    select r.instance_id as "instanceId" from series r
    where exists (select from backup_set s
      where s.series = r.series and s.state = 'deleted' and s.purge_after <= ${now}
        and not ${beingReadSql})`.execute(sqlOf(tx))
  return rows.map((row) => row.instanceId)
}

async function countKept(tx: Transaction, series: SeriesId, change: number): Promise<void> {
  await sql`${plannedOnce} update series set kept_count = kept_count + ${change}
    where series = ${series}`.execute(sqlOf(tx))
}
