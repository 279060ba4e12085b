import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import type { BackupSetFacts } from '../domain/instance.ts'
import type { SetNumber } from '../series/series.ts'
import { factsSql, listedSql } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { beingReadSql } from './pins.ts'
import { type Neighbours, neighboursSql } from './series-view.ts'
import { plannedOnce } from './sql/connection.ts'

/** Its neighbours are kept sets: whatever is deleted between them may take part. */
export interface Member extends Neighbours {
  readonly id: BackupSetId
  readonly deletion: number | null
  readonly manifestBytes: number
  readonly pinned: boolean
  /** Whether its undelete window is over at the instant that is asked for. */
  readonly over: boolean
}

export function numbersOf(members: readonly Member[]): readonly SetNumber[] {
  return members.map((member) => member.number)
}

/** Besides the ID of a set (alias `s`), its neighbours, and whether it is over. */
const MEMBER = sql`s.number, s.deletion, s.manifest_bytes as "manifestBytes",
  ${beingReadSql} as pinned`

/** A set that a request names: what the rules need of it, and what a forecast of its end does. */
export type NamedSet = BackupSetFacts & Member

/**
 * The sets of this very instance that are named, ascending by number, kept ones and failed runs; unknown
 * ones are absent. Read once for both, since it is most of what a deletion of many sets reads.
 */
export async function namedSets(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  now: Instant,
): Promise<readonly NamedSet[]> {
  const { rows } = await sql<Alone<NamedSet>>`${plannedOnce}
    select ${factsSql(now)}, ${MEMBER}, s.series from backup_set s
    where s.instance_id = ${instanceId} and s.set_id = any(${setIds}::bigint[])
      and ${listedSql(now)}
    order by s.number`.execute(sqlOf(tx))
  return withNeighbours(tx, rows)
}

/** Kept and deleted sets of a series that are named, ascending; others are absent. */
export async function membersNamed(
  tx: Transaction,
  series: SeriesId,
  setIds: readonly BackupSetId[],
): Promise<readonly Member[]> {
  const { rows } = await sql<Alone<Member>>`${plannedOnce}
    select s.set_id as id, ${MEMBER}, s.series from backup_set s
    where s.series = ${series} and s.state in ('kept', 'deleted')
      and s.set_id = any(${setIds}::bigint[])
    order by s.number`.execute(sqlOf(tx))
  return withNeighbours(tx, rows)
}

interface Numbered {
  readonly series: SeriesId
  readonly number: SetNumber
}

/** A set as it is read, before its neighbours are known. */
type Alone<Set extends Member> = Omit<Set, keyof Neighbours | 'over'> & Numbered

/** How far from a set its neighbours are looked for together with those of the others. */
const NEAR = [-2, -1, 1, 2]

/**
 * Sets that are named, of one series, ascending, with their kept neighbours. Most have them among the next numbers: all
 * those are found by one descent into the index, where each lookup of its own takes two.
 */
async function withNeighbours<Row extends Numbered>(
  tx: Transaction,
  sets: readonly Row[],
): Promise<readonly (Row & Neighbours & { readonly over: false })[]> {
  const series = sets[0]?.series
  if (series === undefined) return []
  const numbers = sets.map(({ number }) => number)
  const near = [...new Set(numbers.flatMap((number) => NEAR.map((step) => number + step)))]
  const { rows } = await sql<{ kept: readonly number[] }>`${plannedOnce}
    select coalesce(json_agg(number), '[]') as kept from backup_set
    where series = ${series} and state = 'kept' and number = any(${near}::int[])`.execute(sqlOf(tx))
  const kept = new Set(rows[0]?.kept)
  const found = new Map<SetNumber, Neighbours>()
  for (const number of numbers) {
    const previous = NEAR.findLast((step) => step < 0 && kept.has(number + step))
    const next = NEAR.find((step) => step > 0 && kept.has(number + step))
    if (previous === undefined || next === undefined) continue
    const around = { previous: number + previous, next: (number + next) as SetNumber }
    found.set(number, { number, ...around })
  }
  const far = numbers.filter((number) => !found.has(number))
  for (const one of await lookUpNeighbours(tx, series, far)) found.set(one.number, one)
  return sets.flatMap((set) => {
    const neighbours = found.get(set.number)
    return neighbours ? [{ ...set, ...neighbours, over: false }] : []
  })
}

async function lookUpNeighbours(
  tx: Transaction,
  series: SeriesId,
  numbers: readonly SetNumber[],
): Promise<readonly Neighbours[]> {
  if (numbers.length === 0) return []
  const { columns, joins } = neighboursSql(sql`${series}`, sql`u.number`, 'kept')
  const { rows } = await sql<Neighbours>`${plannedOnce}
    select u.number, ${columns} from unnest(${numbers}::int[]) as u(number) ${joins}`.execute(
    sqlOf(tx),
  )
  return rows
}

/**
 * Deleted sets between the kept neighbours of those named, without those themselves, ascending. One
 * between two that are named is found from both.
 */
export async function membersAround(
  tx: Transaction,
  series: SeriesId,
  named: readonly Member[],
  at: Instant,
): Promise<readonly Member[]> {
  const { rows } = await sql<Member>`${plannedOnce}
    select distinct on (s.number) s.set_id as id, ${MEMBER}, s.purge_after <= ${at} as over, r.previous, r.next
    from (select distinct * from
        unnest(${named.map((set) => set.previous)}::int[], ${named.map((set) => set.next)}::int[])
          as u(previous, next)) r
      cross join lateral (
        select * from backup_set
        where series = ${series} and state = 'deleted'
          and number > r.previous and number < coalesce(r.next, 2147483647)
        offset 0) s
    where s.number <> all(${numbersOf(named)}::int[])
    order by s.number`.execute(sqlOf(tx))
  return rows
}
