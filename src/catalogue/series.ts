import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { Fault, invariant } from '../base/fault.ts'
import type { InstanceId, SeriesId } from '../base/ids.ts'
import type { Attempt } from '../domain/job.ts'
import { orBitmap, overlaps } from '../series/bitmap.ts'
import type { NewSet, PackFacts, Retirement, SealedSet, SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { plannedOnce } from './sql/connection.ts'

/** What a finished backup is listed with, besides what the repository counted. */
export interface SetFacts {
  readonly finishedAt: Instant
  readonly consistentAt: Instant
  readonly node: string
  readonly engineVersion: string
}

/** A series with the number of its kept sets. */
export interface CountedSeries {
  readonly series: SeriesId
  readonly kept: number
}

/** An instance's series; null before its first backup. */
export async function seriesOf(
  tx: Transaction,
  instanceId: InstanceId,
): Promise<CountedSeries | null> {
  const { rows } = await sql<CountedSeries>`${plannedOnce}
    select series, kept_count as kept from series
    where instance_id = ${instanceId}`.execute(sqlOf(tx))
  return rows[0] ?? null
}

/** Locks the series of an instance, making it when the instance has none yet. */
export async function lockSeries(tx: Transaction, instanceId: InstanceId): Promise<CountedSeries> {
  const db = sqlOf(tx)
  const find = sql<CountedSeries>`${plannedOnce}
    select series, kept_count as kept from series where instance_id = ${instanceId} for update`
  const found = await find.execute(db)
  if (found.rows[0]) return found.rows[0]
  await sql`insert into series (instance_id) values (${instanceId}) on conflict do nothing`.execute(
    db,
  )
  const { rows } = await find.execute(db)
  invariant(rows[0], 'a series exists once it was made')
  return rows[0]
}

/**
 * Rules R1 and R3: gives this attempt a number and a set ID of its own, burning those of the job's
 * earlier attempts, and pins the newest set as its base by naming it. A set that another job is
 * writing is a Fault 'exists'.
 */
export async function beginSet(
  tx: Transaction,
  instanceId: InstanceId,
  attempt: Attempt,
  mode: string,
  now: Instant,
): Promise<NewSet> {
  const db = sqlOf(tx)
  const { series } = await lockSeries(tx, instanceId)
  await burnAttempts(tx, series, attempt)
  const writers = await sql`
    select 1 from backup_set where series = ${series} and state = 'writing'`.execute(db)
  if (writers.rows.length > 0) {
    throw new Fault('exists', 'a backup set of this instance is being written by another job')
  }
  const next = await sql<{ number: SetNumber; base: SetNumber | null }>`
    update series set next_number = next_number + 1 where series = ${series}
    returning next_number - 1 as number, newest_number as base`.execute(db)
  invariant(next.rows[0], 'the series was locked')
  const { number, base } = next.rows[0]
  const made = await sql<{ set_id: number }>`
    insert into backup_set
      (series, number, instance_id, job_id, attempt, mode, base_number, state, started_at)
    values (${series}, ${number}, ${instanceId}, ${attempt.jobId}, ${attempt.number}, ${mode},
      ${base}, 'writing', ${now})
    returning set_id`.execute(db)
  invariant(made.rows[0], 'the set was inserted')
  const setId = made.rows[0].set_id
  await sql`update job set set_id = ${setId} where job_id = ${attempt.jobId}`.execute(db)
  return { series, number, setId, base: base === null ? null : await storedSet(tx, series, base) }
}

/**
 * Makes the set exist: the one transaction after which a client can name it. Only when its base is
 * still the newest set and this attempt still writes it (R1).
 */
export async function recordSealed(
  tx: Transaction,
  sealed: SealedSet,
  facts: SetFacts,
): Promise<void> {
  const db = sqlOf(tx)
  const { series, number, manifest } = sealed.stored
  const locked = await sql<{ newest: SetNumber | null }>`
    select newest_number as newest from series where series = ${series} for update`.execute(db)
  const writing = await sql<{ base: SetNumber | null }>`
    select base_number as base from backup_set
    where series = ${series} and number = ${number} and state = 'writing' for update`.execute(db)
  const [row] = writing.rows
  if (!row) throw new Fault('superseded', 'this attempt no longer writes its set')
  invariant(row.base === locked.rows[0]?.newest, 'the base is still the newest set')
  await insertPacks(tx, sealed)
  await insertRetirements(tx, sealed)
  await recordObjects(tx, sealed)
  await sql`
    update backup_set set state = 'kept', finished_at = ${facts.finishedAt},
      consistent_at = ${facts.consistentAt}, node = ${facts.node},
      engine_version = ${facts.engineVersion}, content_bytes = ${sealed.contentBytes},
      new_bytes = ${sealed.newBytes}, manifest = ${manifest},
      manifest_bytes = ${sealed.manifestBytes}, checksum = ${sealed.manifestHash}
    where series = ${series} and number = ${number}`.execute(db)
  await sql`update series set newest_number = ${number}, kept_count = kept_count + 1,
      last_success_at = ${facts.finishedAt}
    where series = ${series}`.execute(db)
}

/** Ends an attempt that did not make a set; its objects become abandoned and wait for removal. */
export async function failSet(
  tx: Transaction,
  set: NewSet,
  cause: string,
  now: Instant,
): Promise<void> {
  const { rows } = await sql`
    update backup_set set state = 'failed', cause = ${cause}, finished_at = ${now}
    where series = ${set.series} and number = ${set.number} and state = 'writing'
    returning 1`.execute(sqlOf(tx))
  if (rows.length > 0) await abandonObjects(tx, set.series, set.number)
}

async function burnAttempts(tx: Transaction, series: SeriesId, attempt: Attempt): Promise<void> {
  const burnt = await sql<{ number: SetNumber }>`
    update backup_set set state = 'burnt'
    where series = ${series} and job_id = ${attempt.jobId} and state = 'writing'
    returning number`.execute(sqlOf(tx))
  for (const { number } of burnt.rows) await abandonObjects(tx, series, number)
}

async function abandonObjects(tx: Transaction, series: SeriesId, number: SetNumber): Promise<void> {
  await sql`update object set state = 'abandoned'
    where series = ${series} and number = ${number}`.execute(sqlOf(tx))
}

async function storedSet(tx: Transaction, series: SeriesId, number: SetNumber) {
  const { rows } = await sql<{ setId: number; manifest: string | null }>`
    select set_id as "setId", manifest from backup_set
    where series = ${series} and number = ${number}`.execute(sqlOf(tx))
  invariant(rows[0]?.manifest, 'a set that others build on has a manifest')
  return { series, number, setId: rows[0].setId, manifest: rows[0].manifest }
}

async function insertPacks(tx: Transaction, sealed: SealedSet): Promise<void> {
  const { series, number } = sealed.stored
  const columns = <T>(pick: (pack: PackFacts) => T) => sealed.packs.map(pick)
  await sql`
    insert into pack (series, pack, born, chunks, live_bytes, target_bytes, disk_bytes, object)
    select ${series}, u.pack, ${number}, u.chunks, u.live, u.size, u.size, u.object
    from unnest(${columns((p) => p.pack)}::int[], ${columns((p) => p.chunkCount)}::int[],
      ${columns((p) => p.chunkBytes)}::bigint[], ${columns((p) => p.objectBytes)}::bigint[],
      ${columns((p) => p.object)}::text[]) as u(pack, chunks, live, size, object)`.execute(
    sqlOf(tx),
  )
}

async function insertRetirements(tx: Transaction, sealed: SealedSet): Promise<void> {
  if (sealed.retirements.length === 0) return
  const db = sqlOf(tx)
  const { series, number } = sealed.stored
  await assertOpen(tx, series, sealed.retirements)
  const columns = <T>(pick: (row: Retirement) => T) => sealed.retirements.map(pick)
  await sql`
    insert into retirement (series, retired, born, pack, bytes, which)
    select ${series}, ${number}, k.born, k.pack, u.bytes, u.which
    from unnest(${columns((r) => r.pack)}::int[], ${columns((r) => r.bytes)}::bigint[],
      ${columns((r) => Buffer.from(r.which))}::bytea[]) as u(pack, bytes, which)
    join pack k on k.series = ${series} and k.pack = u.pack`.execute(db)
  await sql`
    insert into run_sum (series, retired, born, bytes, rows)
    select series, retired, born, sum(bytes), count(*) from retirement
    where series = ${series} and retired = ${number} group by series, retired, born`.execute(db)
}

/** The open chunks are exactly those of the newest set, so a closed one can never be retired again. */
async function assertOpen(
  tx: Transaction,
  series: SeriesId,
  retirements: readonly Retirement[],
): Promise<void> {
  const packs = retirements.map((row) => row.pack)
  const { rows } = await sql<{ pack: number; closed: Uint8Array }>`
    select pack, dead as closed from pack where series = ${series} and pack = any(${packs}::int[])
    union all
    select pack, which from retirement
    where series = ${series} and pack = any(${packs}::int[])`.execute(sqlOf(tx))
  const closed = new Map<number, Uint8Array>()
  for (const row of rows) {
    closed.set(row.pack, orBitmap(closed.get(row.pack) ?? new Uint8Array(), row.closed))
  }
  for (const { pack, which } of retirements) {
    const bits = closed.get(pack)
    invariant(bits, `a retired chunk's pack ${pack} is known`)
    invariant(!overlaps(which, bits), `chunks retired from pack ${pack} are open`)
  }
}

async function recordObjects(tx: Transaction, sealed: SealedSet): Promise<void> {
  const db = sqlOf(tx)
  const { series, number, manifest } = sealed.stored
  const names = [...sealed.packs.map((pack) => pack.object), manifest]
  const bytes = [...sealed.packs.map((pack) => pack.objectBytes), sealed.manifestBytes]
  const updated = await sql`
    update object o set state = 'there', bytes = u.bytes
    from unnest(${names}::text[], ${bytes}::bigint[]) as u(name, bytes)
    where o.name = u.name and o.state = 'intended' returning 1`.execute(db)
  invariant(
    updated.rows.length === names.length,
    'every object was announced before it was written',
  )
  // Pack numbers are handed out in batches; those left over name objects that were never written.
  await sql`delete from object
    where series = ${series} and number = ${number} and state = 'intended'`.execute(db)
}
