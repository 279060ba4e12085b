import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId, SeriesId } from '../base/ids.ts'
import { packObjectName } from '../series/object-names.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** A pack whose size on disk is above its target. */
export interface DuePack {
  readonly series: SeriesId
  readonly pack: PackNumber
  readonly born: SetNumber
  readonly object: string
  readonly generation: number
  readonly diskBytes: number
  /** 0: the whole pack goes. */
  readonly targetBytes: number
  readonly keep: Uint8Array | null
}

/** Objects that nothing needs any more; their rows stay until they are gone. */
export async function abandonedObjects(
  tx: Transaction,
  instanceId: InstanceId,
): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select o.name from object o join series s using (series)
    where s.instance_id = ${instanceId} and o.state = 'abandoned'
    order by o.name`.execute(sqlOf(tx))
  return rows.map((row) => row.name)
}

/**
 * After the storage has forgotten them, durably: what was of a purge (its manifests) has come back for
 * it.
 */
export async function forgetObjects(tx: Transaction, names: readonly string[]): Promise<void> {
  await sql`
    with gone as (
      delete from object where name = any(${names}::text[]) and state = 'abandoned'
      returning purge, bytes)
    update purge u set reclaimed_bytes = u.reclaimed_bytes + g.bytes
    from (select purge, sum(bytes) as bytes from gone where purge is not null group by purge) g
    where u.purge = g.purge`.execute(sqlOf(tx))
}

/** Packs to be dropped or rewritten: drops first, then least live bytes first. */
export async function duePacks(
  tx: Transaction,
  instanceId: InstanceId,
): Promise<readonly DuePack[]> {
  const { rows } = await sql<DuePack>`
    select k.series, k.pack, k.born, k.object, k.generation, k.disk_bytes as "diskBytes",
      k.target_bytes as "targetBytes", k.keep
    from pack k join series s using (series)
    where s.instance_id = ${instanceId} and k.disk_bytes > k.target_bytes
    order by k.live_bytes, k.pack limit 1000`.execute(sqlOf(tx))
  return rows
}

/** The pack's object is wanted no more: it joins the abandoned ones, and the pack's row goes. */
export async function dropPacks(tx: Transaction, packs: readonly DuePack[]): Promise<void> {
  const db = sqlOf(tx)
  const names = packs.map((pack) => pack.object)
  await sql`update object set state = 'abandoned' where name = any(${names}::text[])`.execute(db)
  for (const { series, pack, object } of packs) {
    const gone = await sql`
      delete from pack where series = ${series} and pack = ${pack} and target_bytes = 0
        and object = ${object} returning 1`.execute(db)
    invariant(gone.rows.length === 1, `pack ${pack} was due to be dropped`)
  }
}

/**
 * Objects on record that nobody is writing: a rewrite was killed, or overtaken by a drop. They may
 * be there in part, so they are removed like any other garbage and their names never used again.
 */
export async function abandonRewrites(tx: Transaction, instanceId: InstanceId): Promise<void> {
  await sql`
    update object o set state = 'abandoned' from series s
    where s.instance_id = ${instanceId} and o.series = s.series and o.state = 'intended'
      and not exists (select 1 from backup_set w where w.series = o.series
                      and w.number = o.number and w.state = 'writing')`.execute(sqlOf(tx))
}

/**
 * Hands out the generation of the next rewrite, a new one for every try, and records its object as
 * intended before it is written.
 */
export async function intendRewrite(
  tx: Transaction,
  { series, pack, born }: DuePack,
): Promise<{ readonly generation: number; readonly object: string }> {
  const db = sqlOf(tx)
  const { rows } = await sql<{ generation: number }>`
    update pack set last_generation = last_generation + 1
    where series = ${series} and pack = ${pack}
    returning last_generation as generation`.execute(db)
  invariant(rows[0], `pack ${pack} is due to be rewritten`)
  const { generation } = rows[0]
  const object = packObjectName(series, born, pack, generation)
  await sql`
    insert into object (name, series, number, kind, state)
    values (${object}, ${series}, ${born}, 'pack', 'intended')`.execute(db)
  return { generation, object }
}

/** The new generation is durable: readers find it from now on; the old object is abandoned. */
export async function recordRewrite(
  tx: Transaction,
  pack: DuePack,
  { generation, object }: { readonly generation: number; readonly object: string },
): Promise<void> {
  const db = sqlOf(tx)
  const moved = await sql`
    update pack set generation = ${generation}, object = ${object},
      disk_bytes = ${pack.targetBytes}
    where series = ${pack.series} and pack = ${pack.pack} and generation = ${pack.generation}
    returning 1`.execute(db)
  invariant(moved.rows.length === 1, `pack ${pack.pack} is still of the generation that was read`)
  await sql`update object set state = 'there', bytes = ${pack.targetBytes}
    where name = ${object}`.execute(db)
  await sql`update object set state = 'abandoned' where name = ${pack.object}`.execute(db)
}

export interface FinishedPurge {
  readonly purge: number
  /** All of one deletion. */
  readonly setIds: readonly number[]
  readonly deletion: number
  /** Of the call that asked for the deletion; null when nobody did (expiry). */
  readonly requestId: string | null
  readonly releasedBytes: number
  /** What its decision said would come back. */
  readonly freedBytes: number
  /** What has come back: Σ sizes of its objects that were removed + Σ of its plans carried out. */
  readonly reclaimedBytes: number
}

/**
 * Finishes the plans whose packs are at or below their target and the purges all of whose plans and
 * objects are done. Called when no abandoned object of the instance is left.
 *
 * A plan that is finished has given back `target_before - target_after`, exactly, however many plans
 * there were for its pack and in how many steps they were carried out: the first begins at the size
 * that the pack was written with, each next one where the one before ends, and a pack's size on disk is
 * always an end of one of them. So they cut what the pack has lost into pieces without a gap or an
 * overlap, of which each purge gets its own.
 */
export async function settlePurges(
  tx: Transaction,
  instanceId: InstanceId,
  now: Instant,
): Promise<readonly FinishedPurge[]> {
  const db = sqlOf(tx)
  await sql`
    with done as (
      update plan p set finished_at = ${now}
      from series s
      where s.instance_id = ${instanceId} and p.series = s.series and p.finished_at is null
        and not exists (select 1 from pack k where k.series = p.series and k.pack = p.pack
                        and k.disk_bytes > p.target_after)
      returning p.purge, p.target_before - p.target_after as bytes)
    update purge u set reclaimed_bytes = u.reclaimed_bytes + d.bytes
    from (select purge, sum(bytes) as bytes from done group by purge) d
    where u.purge = d.purge`.execute(db)
  const { rows } = await sql<FinishedPurge>`
    update purge u set finished_at = ${now}
    from series s
    where s.instance_id = ${instanceId} and u.series = s.series and u.finished_at is null
      and not exists (select 1 from plan p where p.purge = u.purge and p.finished_at is null)
      and not exists (select 1 from object o where o.purge = u.purge)
    returning u.purge, u.set_ids as "setIds", u.released_bytes as "releasedBytes",
      u.freed_bytes as "freedBytes", u.reclaimed_bytes as "reclaimedBytes",
      (select d.deletion from ${DELETION_OF_PURGE}) as deletion,
      (select nullif(d.request_id, '') from ${DELETION_OF_PURGE}) as "requestId"`.execute(db)
  return rows
}

/** A purge (alias `u`) ends sets of one deletion only. */
const DELETION_OF_PURGE = sql`backup_set b join deletion d using (deletion)
  where b.series = u.series and b.set_id = u.set_ids[1]`

/**
 * Instances with bytes to give back or objects to remove, for the service that starts. The order makes
 * the index of due packs serve: the planner takes a third of all packs for due.
 */
export async function instancesDueForReclaim(tx: Transaction): Promise<readonly InstanceId[]> {
  const { rows } = await sql<{ instanceId: InstanceId }>`
    select distinct s.instance_id as "instanceId" from series s
    where (select k.pack from pack k where k.series = s.series and k.disk_bytes > k.target_bytes
        order by k.live_bytes limit 1) is not null
      or exists (select 1 from purge u where u.series = s.series and u.finished_at is null)
      or exists (select 1 from object o where o.series = s.series and o.state = 'abandoned')
    `.execute(sqlOf(tx))
  return rows.map((row) => row.instanceId)
}
