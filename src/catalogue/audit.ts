import { sql } from 'kysely'
import type { InstanceId, SeriesId } from '../base/ids.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** Every object the catalogue knows, with its size (0 while it is only intended). */
export interface ObjectRecord {
  readonly name: string
  readonly bytes: number
  readonly state: 'intended' | 'there' | 'abandoned'
}

export async function listObjects(tx: Transaction): Promise<readonly ObjectRecord[]> {
  const { rows } = await sql<ObjectRecord>`
    select name, bytes, state from object order by name`.execute(sqlOf(tx))
  return rows
}

export interface PackRecord {
  readonly series: SeriesId
  readonly pack: PackNumber
  readonly born: SetNumber
  readonly chunks: number
  readonly liveBytes: number
  readonly targetBytes: number
  readonly diskBytes: number
  readonly dead: Uint8Array
  readonly object: string
}

/** For the auditor: every pack, and every sum that must agree with it. */
export async function listPacks(tx: Transaction): Promise<readonly PackRecord[]> {
  const { rows } = await sql<PackRecord>`
    select series, pack, born, chunks, live_bytes as "liveBytes", target_bytes as "targetBytes",
      disk_bytes as "diskBytes", dead, object
    from pack order by series, pack`.execute(sqlOf(tx))
  return rows
}

/** Differences between run_sum and the retirements it sums; none when the catalogue is sound. */
export async function countWrongSums(tx: Transaction): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from (
      select series, retired, born, sum(bytes)::bigint as bytes, count(*)::int as rows
      from retirement group by series, retired, born) r
    full join run_sum s using (series, retired, born)
    where r.bytes is distinct from s.bytes or r.rows is distinct from s.rows`.execute(sqlOf(tx))
  return rows[0]?.count ?? 0
}

/** Instances whose count of kept sets, by which decisions go, is not that of their kept sets. */
export async function wrongKeptCounts(tx: Transaction): Promise<readonly InstanceId[]> {
  const { rows } = await sql<{ instanceId: InstanceId }>`
    select s.instance_id as "instanceId" from series s
    where s.kept_count <> (select count(*) from backup_set b
      where b.series = s.series and b.state = 'kept')
    order by s.instance_id`.execute(sqlOf(tx))
  return rows.map((row) => row.instanceId)
}
