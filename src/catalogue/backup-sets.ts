import { type RawBuilder, sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { DAY_MS } from '../base/clock.ts'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import type { BackupSetFacts } from '../domain/instance.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { activeHoldsSql } from './holds.ts'
import { lockInstance } from './instances.ts'
import { pinnedSql } from './pins.ts'

/** A failed run leaves the list by itself this long after it ended. */
const FAILED_LISTED_DAYS = 7

/** A set, or a failed run, as it is listed. */
export interface ListedSet extends BackupSetFacts {
  readonly state: 'kept' | 'failed'
  readonly instanceId: InstanceId
  readonly number: SetNumber
  readonly mode: 'Manual' | 'Automated'
  readonly startedAt: Instant
  readonly finishedAt: Instant
  readonly consistentAt: Instant | null
  readonly contentBytes: number
  readonly newBytes: number
  readonly checksum: string | null
  readonly node: string | null
  readonly cause: string | null
}

/** Filters of DescribeBackups; null = not filtered by. Times compare with the start of the backup. */
export interface SetFilter {
  /** As they were written; none matches an empty list. */
  readonly setIds: readonly string[] | null
  readonly state: 'kept' | 'failed' | null
  readonly mode: 'Manual' | 'Automated' | null
  readonly from: Instant | null
  readonly to: Instant | null
}

/** What the rules need of a set (alias `s`) at an instant of service time. */
export function factsSql(now: Instant) {
  return sql`s.set_id as id, s.state, s.finished_at as "finishedAt",
    s.retained_from as "retainedFrom", ${pinnedSql('restore')} as restoring,
    ${activeHoldsSql(now)} as holds`
}

/** That a set (alias `s`) is listed, and can be named: a kept one, or a run that failed of late. */
export function listedSql(now: Instant) {
  return sql<boolean>`(s.state = 'kept' or (s.state = 'failed'
    and s.finished_at > ${now - FAILED_LISTED_DAYS * DAY_MS}))`
}

export interface Page {
  readonly offset: number
  readonly limit: number
}

export interface SetPage {
  readonly sets: readonly ListedSet[]
  /** How many there are in all. */
  readonly total: number
}

/** One page of the sets and failed runs of an instance, newest first. */
export function listSets(
  tx: Transaction,
  instanceId: InstanceId,
  filter: SetFilter,
  now: Instant,
  page: Page,
): Promise<SetPage> {
  const wanted = sql`s.instance_id = ${instanceId} and ${listedSql(now)}`
  return readPage(tx, wanted, filter, now, page)
}

/** One page of the sets of released instances (of one of them, if named), newest first. */
export function listDetachedSets(
  tx: Transaction,
  instanceId: string | null,
  filter: SetFilter,
  now: Instant,
  page: Page,
): Promise<SetPage> {
  const wanted = sql`s.state = 'kept'
    and exists (select from instance i
      where i.instance_id = s.instance_id and i.released_at is not null)
    and (${instanceId}::text is null or s.instance_id = ${instanceId})`
  return readPage(tx, wanted, filter, now, page)
}

async function readPage(
  tx: Transaction,
  wanted: RawBuilder<unknown>,
  filter: SetFilter,
  now: Instant,
  page: Page,
): Promise<SetPage> {
  const listed = sql`
    from backup_set s
    where ${wanted}
      and (${filter.setIds}::text[] is null or s.set_id::text = any(${filter.setIds}::text[]))
      and (${filter.state}::text is null or s.state = ${filter.state})
      and (${filter.mode}::text is null or s.mode = ${filter.mode})
      and (${filter.from}::bigint is null or s.started_at >= ${filter.from})
      and (${filter.to}::bigint is null or s.started_at <= ${filter.to})`
  const db = sqlOf(tx)
  const counted = await sql<{ total: number }>`select count(*) as total ${listed}`.execute(db)
  const { rows } = await sql<ListedSet>`
    select ${factsSql(now)}, s.instance_id as "instanceId", s.number, s.mode, s.started_at as "startedAt",
      s.consistent_at as "consistentAt", coalesce(s.content_bytes, 0) as "contentBytes",
      coalesce(s.new_bytes, 0) as "newBytes", s.checksum, s.node, s.cause
    ${listed} order by s.started_at desc, s.set_id desc
    limit ${page.limit} offset ${page.offset}`.execute(db)
  return { sets: rows, total: counted.rows[0]?.total ?? 0 }
}

/** Where a set of any state is in its life; `purgeAfter` is set while it is deleted. */
export interface SetState {
  readonly state: 'writing' | 'kept' | 'deleted' | 'purged' | 'failed' | 'burnt'
  readonly purgeAfter: Instant | null
}

/** The states of the sets of this very instance that are named; unknown ones are absent. */
export async function statesOfSets(
  tx: Transaction,
  instanceId: InstanceId,
  ids: readonly BackupSetId[],
): Promise<ReadonlyMap<BackupSetId, SetState>> {
  const { rows } = await sql<SetState & { id: BackupSetId }>`
    select set_id as id, state, purge_after as "purgeAfter" from backup_set
    where instance_id = ${instanceId} and set_id = any(${ids}::bigint[])`.execute(sqlOf(tx))
  return new Map(rows.map(({ id, ...state }) => [id, state]))
}

/** The sets that an instance keeps, newest first. */
export async function keptSets(
  tx: Transaction,
  instanceId: InstanceId,
  now: Instant,
): Promise<readonly BackupSetFacts[]> {
  const { rows } = await sql<BackupSetFacts>`
    select ${factsSql(now)} from backup_set s where s.instance_id = ${instanceId} and s.state = 'kept'
    order by s.number desc`.execute(sqlOf(tx))
  return rows
}

/** How many sets were begun in that time, deleted ones included, for RDS's daily limit. */
export async function countSetsBegun(
  tx: Transaction,
  instanceId: InstanceId,
  from: Instant,
  until: Instant,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from backup_set
    where instance_id = ${instanceId} and started_at between ${from} and ${until}
      and state in ('kept', 'deleted', 'purged')`.execute(sqlOf(tx))
  return rows[0]?.count ?? 0
}

/** Where a kept set starts, for those who read it. */
export interface ReadableSet {
  readonly series: SeriesId
  readonly number: SetNumber
  readonly setId: number
  readonly manifest: string
  readonly instanceId: InstanceId
  readonly contentBytes: number
}

/** Of a kept set only; its instance is locked first, so that no delete can judge it meanwhile. */
export async function lockReadableSet(
  tx: Transaction,
  setId: BackupSetId,
): Promise<ReadableSet | null> {
  const db = sqlOf(tx)
  const owner = await sql<{ instanceId: InstanceId }>`
    select instance_id as "instanceId" from backup_set where set_id = ${setId}`.execute(db)
  if (!owner.rows[0]) return null
  await lockInstance(tx, owner.rows[0].instanceId)
  const { rows } = await sql<ReadableSet>`
    select series, number, set_id as "setId", manifest, instance_id as "instanceId",
      content_bytes as "contentBytes"
    from backup_set where set_id = ${setId} and state = 'kept'`.execute(db)
  return rows[0] ?? null
}

/** All sets whose bytes must be whole: kept ones and those whose purge is not decided. */
export async function setsWithBytes(tx: Transaction): Promise<readonly ReadableSet[]> {
  const { rows } = await sql<ReadableSet>`
    select series, number, set_id as "setId", manifest, instance_id as "instanceId",
      content_bytes as "contentBytes"
    from backup_set where state in ('kept', 'deleted') order by series, number`.execute(sqlOf(tx))
  return rows
}
