import { type RawBuilder, sql } from 'kysely'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import { PACK_FIXED_BYTES } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { neighboursSql } from './series-view.ts'

/**
 * Where stored bytes are, in bytes of objects. `storedBytes` is the sum of `keptBytes`,
 * `undeleteBytes`, `deadBytes`, `fixedBytes` and `pendingFreedBytes`, at every moment and to the byte.
 */
export interface Usage {
  /** Of all objects that are there, those on their way out included; not what is being written. */
  readonly storedBytes: number
  /** What kept sets use: their chunks, each once, and their manifests. */
  readonly keptBytes: number
  /**
   * What only sets that are deleted and not purged use: released when they are. Their undelete window
   * lasts, or their purge waits for a job or a pin.
   */
  readonly undeleteBytes: number
  /** Garbage in packs more than half alive, which are not written anew for it. */
  readonly deadBytes: number
  /** What every pack takes besides its chunks, as long as anything in it lives. */
  readonly fixedBytes: number
  /** What the reclaim of decided purges has still to give back, and its objects to be removed. */
  readonly pendingFreedBytes: number
  /** What the disk would get back if all those deleted sets were purged now, together. */
  readonly undeleteFreedBytes: number
  /** What purges have made garbage since there were any. */
  readonly releasedBytes: number
  /** What they have really given back: manifests that were removed, packs that were brought down. */
  readonly freedBytes: number
}

export interface InstanceUsage extends Usage {
  readonly instanceId: InstanceId
}

/** Of an instance that never had a backup. */
export const NO_USAGE: Usage = {
  storedBytes: 0,
  keptBytes: 0,
  undeleteBytes: 0,
  deadBytes: 0,
  fixedBytes: 0,
  pendingFreedBytes: 0,
  undeleteFreedBytes: 0,
  releasedBytes: 0,
  freedBytes: 0,
}

/** Of one instance, also of a released one; zeros when it never had a backup. */
export async function usageOf(tx: Transaction, instanceId: InstanceId): Promise<Usage> {
  const [usage = NO_USAGE] = await readUsage(tx, sql`instance_id = ${instanceId}`)
  return usage
}

/** `storedBytes` alone: one sum over the instance's objects, for what is polled. */
export async function storedBytesOf(tx: Transaction, instanceId: InstanceId): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(o.bytes), 0)::bigint as bytes from series r join object o using (series)
    where r.instance_id = ${instanceId} and o.state in ('there', 'abandoned')`.execute(sqlOf(tx))
  invariant(rows[0], 'sums without groups are one row')
  return rows[0].bytes
}

/** Of every instance that ever had a backup, released ones included. */
export function usageOfAll(tx: Transaction): Promise<readonly InstanceUsage[]> {
  return readUsage(tx, sql`true`)
}

/**
 * Of the repository: the sums over all instances. Its header, some hundred bytes that belong to none
 * and never go, is a fixed part.
 */
export async function usageOfRepository(
  tx: Transaction,
  instances: readonly Usage[],
): Promise<Usage> {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(bytes), 0)::bigint as bytes from object
    where series is null and state = 'there'`.execute(sqlOf(tx))
  invariant(rows[0], 'sums without groups are one row')
  const header = { ...NO_USAGE, storedBytes: rows[0].bytes, fixedBytes: rows[0].bytes }
  return instances.reduce(addUsage, header)
}

function addUsage(sum: Usage, more: Usage): Usage {
  return {
    storedBytes: sum.storedBytes + more.storedBytes,
    keptBytes: sum.keptBytes + more.keptBytes,
    undeleteBytes: sum.undeleteBytes + more.undeleteBytes,
    deadBytes: sum.deadBytes + more.deadBytes,
    fixedBytes: sum.fixedBytes + more.fixedBytes,
    pendingFreedBytes: sum.pendingFreedBytes + more.pendingFreedBytes,
    undeleteFreedBytes: sum.undeleteFreedBytes + more.undeleteFreedBytes,
    releasedBytes: sum.releasedBytes + more.releasedBytes,
    freedBytes: sum.freedBytes + more.freedBytes,
  }
}

const AROUND = neighboursSql(sql`d.series`, sql`d.number`, 'kept')

/**
 * Gaps between kept sets in which sets are deleted, and what dies in them with the deleted sets: rows
 * that only these stab, and where no kept set follows, packs as a whole. Gaps share no pack.
 */
const DYING = sql`
  gap as (
    select distinct d.series, ${AROUND.columns}
    from of join backup_set d on d.series = of.series and d.state = 'deleted' ${AROUND.joins}),
  dying as (
    select g.series, t.pack, sum(t.bytes) as bytes
    from gap g join retirement t on t.series = g.series and t.retired > g.previous
      and t.retired <= g.next and t.born > g.previous
    group by g.series, t.pack
    union all
    select g.series, k.pack, k.live_bytes
    from gap g join pack k on k.series = g.series and k.born > g.previous and k.live_bytes > 0
    where g.next is null),
  window_of as (
    select d.series, sum(d.bytes) as released, sum(case
        when k.live_bytes = d.bytes then k.target_bytes
        when 2 * (${PACK_FIXED_BYTES} + k.live_bytes - d.bytes) < k.target_bytes
          then k.target_bytes - (${PACK_FIXED_BYTES} + k.live_bytes - d.bytes)
        else 0 end) as freed
    from dying d join pack k using (series, pack) group by d.series)`

const PARTS = sql`
  objects as (
    select o.series, sum(o.bytes) as stored,
      sum(o.bytes) filter (where o.state = 'abandoned') as abandoned
    from of join object o using (series)
    where o.state in ('there', 'abandoned') group by o.series),
  packs as (
    select k.series,
      sum(k.live_bytes) as living,
      sum(k.target_bytes - ${PACK_FIXED_BYTES} - k.live_bytes)
        filter (where k.target_bytes > 0) as dead,
      ${PACK_FIXED_BYTES} * count(*) filter (where k.target_bytes > 0) as fixed,
      sum(k.disk_bytes - k.target_bytes) as due
    from of join pack k using (series) group by k.series),
  manifests as (
    select b.series, sum(b.manifest_bytes) as bytes,
      sum(b.manifest_bytes) filter (where b.state = 'deleted') as deleted
    from of join backup_set b using (series)
    where b.state in ('kept', 'deleted') group by b.series),
  purged as (
    select u.series, sum(u.released_bytes) as released,
      sum(u.reclaimed_bytes) as freed
    from of join purge u using (series) group by u.series)`

/** One statement, so that the figures are of one moment. */
async function readUsage(
  tx: Transaction,
  which: RawBuilder<unknown>,
): Promise<readonly InstanceUsage[]> {
  const { rows } = await sql<InstanceUsage>`
    with of as (select series, instance_id from series where ${which}), ${DYING}, ${PARTS}
    select of.instance_id as "instanceId",
      coalesce(o.stored, 0)::bigint as "storedBytes",
      (coalesce(k.living, 0) + coalesce(m.bytes, 0)
        - coalesce(w.released, 0) - coalesce(m.deleted, 0))::bigint as "keptBytes",
      (coalesce(w.released, 0) + coalesce(m.deleted, 0))::bigint as "undeleteBytes",
      coalesce(k.dead, 0)::bigint as "deadBytes",
      coalesce(k.fixed, 0)::bigint as "fixedBytes",
      (coalesce(k.due, 0) + coalesce(o.abandoned, 0))::bigint as "pendingFreedBytes",
      (coalesce(w.freed, 0) + coalesce(m.deleted, 0))::bigint as "undeleteFreedBytes",
      coalesce(p.released, 0)::bigint as "releasedBytes",
      coalesce(p.freed, 0)::bigint as "freedBytes"
    from of left join objects o using (series) left join packs k using (series)
      left join manifests m using (series) left join window_of w using (series)
      left join purged p using (series)
    order by of.instance_id`.execute(sqlOf(tx))
  return rows
}
