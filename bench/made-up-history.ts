import type pg from 'pg'
import { DAY_MS, HOUR_MS, type Instant } from '../src/base/clock.ts'
import { setBit } from '../src/series/bitmap.ts'
import { CHUNK_INDEX_BYTES, PACK_FIXED_BYTES } from '../src/series/series.ts'

/** What a workload leaves in the catalogue. */
export interface Workload {
  /** Packs of the first set besides the one that every set writes. */
  readonly basePacks: number
  /** How many later sets take chunks away from a pack: rows of retirement for each set. */
  readonly rowsPerSet: number
}

/**
 * An append changes the ends of files: each set takes some chunks from the pack of the one before it.
 * Random writes take some from each of the last 100 packs, until nothing of a pack is used any more.
 */
export const WORKLOADS = {
  append: { basePacks: 64, rowsPerSet: 1 },
  'random writes': { basePacks: 0, rowsPerSet: 100 },
} as const satisfies Readonly<Record<string, Workload>>

export interface History {
  readonly instanceId: string
  /** Kept sets, or deleted ones that wait for the end of their undelete window. */
  readonly sets: number
  readonly state: 'kept' | 'deleted'
  readonly workload: Workload
  /** Service time. The newest set ended eight days before, the others an hour apart before it. */
  readonly now: Instant
}

/** Chunks of a pack of 64 MiB or so, at 16 KiB each and a third of that when compressed. */
const CHUNKS = 4000
const CHUNK_BYTES = 5400 + CHUNK_INDEX_BYTES
const MANIFEST_BYTES = 4096
/** Every tenth attempt failed, and before the oldest set as many were purged as there are. */
const NUMBER = 'q + (q - 1) / 9'

/**
 * Writes the rows of one instance as backups, failures, deletions and purges would have left them:
 * sets, jobs, packs, retirements, sums, objects, plans, and a hold on every set, released but for the
 * oldest 2 %.
 */
export async function insertHistory(client: pg.Client, history: History): Promise<void> {
  const { instanceId, sets, now, state } = history
  const endOf = (q: string) => `${now - 8 * DAY_MS} - (${sets} - (${q})) * ${HOUR_MS}::bigint`
  await client.query('begin')
  await client.query(
    `insert into instance (instance_id, engine, engine_version, category, status, created_at,
       data_retention_days)
     values ($1, 'PostgreSQL', '18', 'HighAvailability', 'Running', 0, 730)`,
    [instanceId],
  )
  const series = await insertSeries(client, history)
  await insertPurged(client, series, history, endOf)
  await insertSets(client, series, history, endOf)
  if (state === 'deleted') await markDeleted(client, series, now)
  await insertPacks(client, series, history)
  await insertRetirements(client, series, history)
  await insertHolds(client, series, history)
  await client.query('commit')
}

async function insertSeries(client: pg.Client, history: History): Promise<number> {
  const { instanceId, sets, state, workload } = history
  const { rows } = await client.query<{ series: string }>(
    `insert into series (instance_id, next_number, next_pack, newest_number, kept_count,
       last_success_at)
     select $1, newest + 1, $2 + newest + 1, newest, $3, ${history.now - 8 * DAY_MS} from (
       select ${sets} + max(${NUMBER}) as newest from generate_series(1, ${sets}) q) n
     returning series`,
    [instanceId, workload.basePacks, state === 'kept' ? sets : 0],
  )
  return Number(rows[0]?.series)
}

type EndOf = (q: string) => string

/** Sets 1 to `sets`: purged long ago, one deletion, purge and finished plan each. */
async function insertPurged(
  client: pg.Client,
  series: number,
  { instanceId, sets }: History,
  endOf: EndOf,
): Promise<void> {
  const at = endOf(`q - ${sets}`)
  await client.query(
    `with backups as (
       insert into job (kind, instance_id, parameters, state, attempt, created_at, ended_at)
       select 'take-backup', '${instanceId}', '{"mode": "Automated"}', 'finished', 1, ${at}, ${at}
       from generate_series(1, ${sets}) q order by q
       returning job_id, created_at)
     insert into backup_set (series, number, instance_id, job_id, attempt, mode, base_number, state,
       started_at, finished_at, consistent_at, content_bytes, new_bytes, manifest, manifest_bytes)
     select ${series}, row_number() over (order by job_id), '${instanceId}', job_id, 1, 'Automated',
       nullif(row_number() over (order by job_id), 1) - 1, 'purged', created_at, created_at,
       created_at, 1e9, 1e7, null, ${MANIFEST_BYTES}
     from backups`,
  )
  await client.query(
    `with asked as (
       insert into deletion (series, request_id, access_key_id, address, deleted_at, purge_after,
         set_ids, released_bytes, freed_bytes)
       select ${series}, '', '', '', s.finished_at, s.finished_at, array[s.set_id], 1e7, 1e7
       from backup_set s where s.series = ${series} order by s.number
       returning deletion, set_ids)
     update backup_set s set deletion = asked.deletion from asked
     where s.series = ${series} and s.set_id = asked.set_ids[1]`,
  )
  await client.query(
    `with decided as (
       insert into purge (series, set_ids, released_bytes, freed_bytes, manifest_bytes, decided_at,
         finished_at)
       select ${series}, array[s.set_id], 1e7, 1e7, ${MANIFEST_BYTES}, s.finished_at, s.finished_at
       from backup_set s where s.series = ${series} order by s.number
       returning purge)
     insert into plan (purge, series, pack, target_before, target_after, finished_at)
     select purge, ${series}, row_number() over (order by purge), 1e7, 0, 1 from decided`,
  )
  await client.query(
    `insert into job (kind, instance_id, parameters, state, attempt, created_at, ended_at)
     select 'purge-sets', '${instanceId}', '{}', 'finished', 1, ${at}, ${at}
     from generate_series(1, ${sets}) q`,
  )
}

/** The kept sets in their numbers, and the failed runs in the numbers between. */
async function insertSets(
  client: pg.Client,
  series: number,
  { instanceId, sets }: History,
  endOf: EndOf,
): Promise<void> {
  await client.query(
    `create temp table made on commit drop as
     select ${sets} + n.number as number, q, ${endOf('coalesce(q, n.number * 9 / 10)')} as at
     from generate_series(1, (select max(${NUMBER}) from generate_series(1, ${sets}) q)) n(number)
       left join (select q, ${NUMBER} as number from generate_series(1, ${sets}) q) k using (number)`,
  )
  await client.query(
    `with backups as (
       insert into job (kind, instance_id, parameters, state, attempt, created_at, ended_at)
       select 'take-backup', '${instanceId}', '{"mode": "Automated"}',
         case when q is null then 'failed' else 'finished' end, 1, at, at
       from made order by number
       returning job_id),
     numbered as (select job_id, ${sets} + row_number() over (order by job_id) as number from backups)
     insert into backup_set (series, number, instance_id, job_id, attempt, mode, base_number, state,
       started_at, finished_at, consistent_at, content_bytes, new_bytes, manifest, manifest_bytes,
       checksum, node, engine_version)
     select ${series}, m.number, '${instanceId}', n.job_id, 1, 'Automated', m.number - 1,
       case when q is null then 'failed' else 'kept' end, at - 600000, at, at - 600000, 1e9, 1e7,
       'series/${series}/' || m.number || '/manifest', ${MANIFEST_BYTES}, repeat('0', 64), 'node-1',
       '18.1'
     from made m join numbered n using (number) order by m.number`,
  )
}

/** One deletion of all of them, whose undelete window ends tomorrow. */
async function markDeleted(client: pg.Client, series: number, now: Instant): Promise<void> {
  await client.query(
    `with asked as (
       insert into deletion (series, request_id, access_key_id, address, deleted_at, purge_after,
         set_ids, released_bytes, freed_bytes)
       select series, '', '', '', ${now}, ${now}, array_agg(set_id order by number), 1e7, 1e7
       from backup_set where series = ${series} and state = 'kept' group by series
       returning deletion)
     update backup_set s set state = 'deleted', deletion = asked.deletion,
       purge_after = ${now + DAY_MS}
     from asked where s.series = ${series} and s.state = 'kept'`,
  )
}

async function insertPacks(client: pg.Client, series: number, history: History): Promise<void> {
  const { sets, workload } = history
  const bytes = CHUNKS * CHUNK_BYTES
  const size = bytes + PACK_FIXED_BYTES
  await client.query(
    `insert into pack (series, pack, born, chunks, live_bytes, target_bytes, disk_bytes, object)
     select ${series}, pack, born, ${CHUNKS}, ${bytes}, ${size}, ${size},
       'series/${series}/' || born || '/pack-' || pack || '.0'
     from (
       select n as pack, ${sets} + 1 as born from generate_series(1, ${workload.basePacks}) n
       union all select ${workload.basePacks} + number, number from made where q is not null) p
     order by pack`,
  )
  await client.query(
    `insert into object (name, series, number, kind, bytes, state)
     select object, ${series}, born, 'pack', disk_bytes, 'there' from pack where series = ${series}
     union all
     select 'series/${series}/' || number || '/manifest', ${series}, number, 'manifest',
       ${MANIFEST_BYTES}, 'there' from made where q is not null`,
  )
}

/** Set q retires one share of the chunks of the packs born with q - 1 down to q - rowsPerSet. */
async function insertRetirements(
  client: pg.Client,
  series: number,
  { sets, workload }: History,
): Promise<void> {
  const { basePacks, rowsPerSet } = workload
  const perRow = Math.floor(CHUNKS / Math.max(rowsPerSet, 100))
  const bitmaps = Array.from({ length: rowsPerSet }, (_, j) => everyNth(rowsPerSet, j, perRow))
  await client.query('create temp table share (j int primary key, which bytea) on commit drop')
  await client.query('insert into share select * from unnest($1::int[], $2::bytea[])', [
    bitmaps.map((_, j) => j + 1),
    bitmaps,
  ])
  const number = (q: string) => `${sets} + ${NUMBER.replaceAll('q', `(${q})`)}`
  await client.query(
    `insert into retirement (series, retired, born, pack, bytes, which)
     select ${series}, ${number('q')}, ${number('q - j')}, ${basePacks} + ${number('q - j')},
       ${perRow * CHUNK_BYTES}, which
     from generate_series(2, ${sets}) q join share on j < q
     order by q, j desc`,
  )
  await client.query(
    `insert into run_sum (series, retired, born, bytes, rows)
     select series, retired, born, sum(bytes), count(*) from retirement
     where series = ${series} group by series, retired, born order by series, retired, born`,
  )
}

/** Chunks j, j + n, j + 2n …, `count` of them: changes lie scattered in a pack. */
function everyNth(n: number, j: number, count: number): Buffer {
  let bits: Uint8Array = new Uint8Array()
  for (let index = 0; index < count; index += 1) bits = setBit(bits, j + index * n)
  return Buffer.from(bits.subarray(0, ((j + (count - 1) * n) >>> 3) + 1))
}

async function insertHolds(
  client: pg.Client,
  series: number,
  { instanceId, sets, state, now }: History,
): Promise<void> {
  const held = state === 'kept' ? firstFree(sets) : 0
  await client.query(
    `insert into hold (instance_id, set_id, reason, access_key_id, user_name, address, held_at,
       held_until, released_at)
     select '${instanceId}', s.set_id, 'audit', '', 'root', '', ${now}, null,
       case when m.q >= ${held} then ${now} end
     from made m join backup_set s on s.series = ${series} and s.number = m.number
     where m.q is not null`,
  )
}

/** The oldest kept set, counted from 1, that no hold keeps. */
export function firstFree(sets: number): number {
  return Math.ceil(sets / 50) + 1
}
