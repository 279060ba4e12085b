import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import { afterEnding, planEnding } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import type { DecidedPurge } from './endings.ts'
import { purgeSets } from './endings.ts'
import { pinnedSql } from './pins.ts'
import { lockSeries } from './series.ts'
import { loadView } from './series-view.ts'

/** What deleting sets gives, if their purge is decided now. */
export interface Forecast {
  /** Stored bytes that become garbage, manifests included. */
  readonly releasedBytes: number
  /** What the disk gets back. */
  readonly freedBytes: number
  /** Kept sets that remain. */
  readonly remainingCount: number
  /**
   * False while a backup or a restore pins one of the sets involved: the purge then waits, and the
   * figure is an expectation.
   */
  readonly exact: boolean
}

interface Member {
  readonly number: SetNumber
  readonly setId: number
  readonly state: 'kept' | 'deleted'
  readonly deletion: number | null
  readonly manifestBytes: number
  readonly pinned: boolean
}

/** Foretells a deletion of `setIds` (kept sets of the instance); deletions decided before count first. */
export async function forecastDeletion(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
): Promise<Forecast> {
  const named = new Set<number>(setIds)
  const found = await sql<{ series: SeriesId }>`
    select series from series where instance_id = ${instanceId}`.execute(sqlOf(tx))
  const series = found.rows[0]?.series
  if (series === undefined) {
    return { releasedBytes: 0, freedBytes: 0, remainingCount: 0, exact: true }
  }
  const members = await membersOf(tx, series, setIds)
  const mine = members.filter((member) => named.has(member.setId))
  const waiting = members.filter((member) => member.state === 'deleted')
  const remainingCount = (await countKept(tx, series)) - mine.length
  let view = await loadView(
    tx,
    series,
    members.map((member) => member.number),
  )
  for (const group of groupsOf(waiting)) {
    view = afterEnding(view, planEnding(view, group))
  }
  const ending = planEnding(
    view,
    mine.map((member) => member.number),
  )
  const manifestBytes = mine.reduce((total, member) => total + member.manifestBytes, 0)
  return {
    releasedBytes: ending.releasedBytes + manifestBytes,
    freedBytes: ending.freedBytes + manifestBytes,
    remainingCount,
    exact: !members.some((member) => member.pinned),
  }
}

/** Who deleted what, for the record and for the order in which purges are decided. */
export interface DeletionRecord {
  readonly requestId: string
  readonly accessKeyId: string
  readonly address: string
  readonly deletedAt: Instant
  /** When the undelete window ends. */
  readonly purgeAfter: Instant
}

/**
 * Takes kept sets out of every list, in one transaction with what was foretold. The caller has
 * judged them under the instance's lock and asks for the purge job in the same transaction.
 */
export async function deleteSets(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  record: DeletionRecord,
): Promise<Forecast> {
  const series = await lockSeries(tx, instanceId)
  const forecast = await forecastDeletion(tx, instanceId, setIds)
  const db = sqlOf(tx)
  const made = await sql<{ deletion: number }>`
    insert into deletion (series, request_id, access_key_id, address, deleted_at, purge_after,
      set_ids, released_bytes, freed_bytes)
    values (${series}, ${record.requestId}, ${record.accessKeyId}, ${record.address},
      ${record.deletedAt}, ${record.purgeAfter}, ${setIds}::bigint[],
      ${forecast.releasedBytes}, ${forecast.freedBytes})
    returning deletion`.execute(db)
  invariant(made.rows[0], 'the deletion was inserted')
  const marked = await sql`
    update backup_set set state = 'deleted', deletion = ${made.rows[0].deletion}
    where series = ${series} and state = 'kept' and set_id = any(${setIds}::bigint[])
    returning 1`.execute(db)
  invariant(marked.rows.length === setIds.length, 'every judged set is still kept')
  return forecast
}

/**
 * Decides the next purge that is due: the unpinned sets of the oldest deletion whose undelete window
 * is over. Null when there is none. One decision per transaction, in the order of the deletions, so
 * that what was foretold is what happens.
 */
export async function purgeNext(
  tx: Transaction,
  instanceId: InstanceId,
  now: Instant,
): Promise<DecidedPurge | null> {
  const series = await lockSeries(tx, instanceId)
  const due = (await membersOf(tx, series, [], now)).filter((member) => !member.pinned)
  const first = due[0]
  if (!first) return null
  const numbers = due
    .filter((member) => member.deletion === first.deletion)
    .map((member) => member.number)
  return purgeSets(tx, series, numbers, now)
}

/** Instances that have something due to purge: a set unpinned meanwhile, or a window that is over. */
export async function instancesDueForPurge(
  tx: Transaction,
  now: Instant,
): Promise<readonly InstanceId[]> {
  const { rows } = await sql<{ instanceId: InstanceId }>`
    select distinct s.instance_id as "instanceId" from backup_set s join deletion d using (deletion)
    where s.state = 'deleted' and d.purge_after <= ${now} and not ${heldSql}`.execute(sqlOf(tx))
  return rows.map((row) => row.instanceId)
}

/** R3: a set that a backup builds on, or that someone reads. */
const heldSql = sql<boolean>`(
  exists (select 1 from backup_set w
          where w.series = s.series and w.state = 'writing' and w.base_number = s.number)
  or ${pinnedSql(null)})`

async function membersOf(
  tx: Transaction,
  series: SeriesId,
  setIds: readonly BackupSetId[],
  dueAt: Instant | null = null,
): Promise<readonly Member[]> {
  const { rows } = await sql<Member>`
    select s.number, s.set_id as "setId", s.state, s.deletion,
      s.manifest_bytes as "manifestBytes", ${heldSql} as pinned
    from backup_set s left join deletion d using (deletion)
    where s.series = ${series}
      and (s.state = 'deleted' or (s.state = 'kept' and s.set_id = any(${setIds}::bigint[])))
      and (${dueAt}::bigint is null or d.purge_after <= ${dueAt}::bigint)
    order by s.deletion nulls last, s.number`.execute(sqlOf(tx))
  return rows
}

async function countKept(tx: Transaction, series: SeriesId): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from backup_set
    where series = ${series} and state = 'kept'`.execute(sqlOf(tx))
  return rows[0]?.count ?? 0
}

function groupsOf(members: readonly Member[]): readonly (readonly SetNumber[])[] {
  const groups = new Map<number | null, SetNumber[]>()
  for (const member of members) {
    const group = groups.get(member.deletion)
    if (group) group.push(member.number)
    else groups.set(member.deletion, [member.number])
  }
  return [...groups.values()]
}
