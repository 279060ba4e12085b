import { sql } from 'kysely'
import type { SeriesId } from '../base/ids.ts'
import type { PackState, RetirementState, SeriesView } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** Neighbours that end together, and what counts as kept around them. */
export interface Run {
  readonly members: readonly SetNumber[]
  /** The number before the run; 0 when there is none. */
  readonly previous: number
  /** The number after it; null when the run ends with the newest set. */
  readonly next: SetNumber | null
}

interface Neighbours {
  readonly number: SetNumber
  readonly previous: number
  readonly next: SetNumber | null
}

/**
 * The runs that `numbers` form among the sets in `states`. Two index lookups for each number, however
 * long the series is.
 */
export async function runsOf(
  tx: Transaction,
  series: SeriesId,
  numbers: readonly SetNumber[],
  states: 'kept' | 'kept or deleted',
): Promise<readonly Run[]> {
  // Spelt as in the partial indexes, or they are not used.
  const counts = sql.raw(states === 'kept' ? `state = 'kept'` : `state in ('kept', 'deleted')`)
  const { rows } = await sql<Neighbours>`
    select u.number, coalesce(p.number, 0) as previous, n.number as next
    from unnest(${numbers}::int[]) as u(number)
      left join lateral (select number from backup_set
        where series = ${series} and number < u.number and ${counts}
        order by number desc limit 1) p on true
      left join lateral (select number from backup_set
        where series = ${series} and number > u.number and ${counts}
        order by number limit 1) n on true
    order by u.number`.execute(sqlOf(tx))
  const runs: { members: SetNumber[]; previous: number; next: SetNumber | null }[] = []
  for (const { number, previous, next } of rows) {
    const run = runs.at(-1)
    if (run && run.members.at(-1) === previous) {
      run.members.push(number)
      run.next = next
    } else runs.push({ members: [number], previous, next })
  }
  return runs
}

/**
 * Reads what ending runs can touch, and no more (rule R6). Rows are retired by sets that are there, so
 * those of a run are retired by its members or its next set. With `bytes` only those that can die are
 * read: they alone count for a forecast. `kept` of the view are the members and their neighbours only:
 * whether a row's interval is stabbed is decided by them.
 */
export async function loadView(
  tx: Transaction,
  series: SeriesId,
  runs: readonly Run[],
  what: 'bytes' | 'everything',
): Promise<SeriesView> {
  const db = sqlOf(tx)
  const wanted = runs.flatMap((run) => rowsOf(run, what))
  const rows = await sql<RetirementState>`
    select t.pack, t.born, t.retired, t.bytes
    from unnest(${wanted.map((w) => w.retired)}::int[], ${wanted.map((w) => w.bornAfter)}::int[])
      as w(retired, born_after)
    join retirement t on t.series = ${series} and t.retired = w.retired
      and t.born > w.born_after`.execute(db)
  const open = runs.find((run) => run.next === null)
  const packs = await sql<PackState>`
    select pack, born, live_bytes as "liveBytes", target_bytes as "targetBytes" from pack
    where series = ${series} and pack = any(${rows.rows.map((row) => row.pack)}::int[])
    union
    select pack, born, live_bytes, target_bytes from pack
    where series = ${series} and born > ${open?.previous ?? 2147483647} and live_bytes > 0`.execute(
    db,
  )
  return {
    kept: keptAround(runs),
    packs: new Map(packs.rows.map((pack) => [pack.pack, pack])),
    retirements: rows.rows,
  }
}

function rowsOf({ members, previous, next }: Run, what: 'bytes' | 'everything') {
  const bornAfter = what === 'bytes' ? previous : 0
  return [
    ...members.map((retired) => ({ retired, bornAfter })),
    ...(next === null ? [] : [{ retired: next, bornAfter: previous }]),
  ]
}

function keptAround(runs: readonly Run[]): readonly SetNumber[] {
  const kept = runs.flatMap(({ members, previous, next }) => [
    ...(previous === 0 ? [] : [previous as SetNumber]),
    ...members,
    ...(next === null ? [] : [next]),
  ])
  return [...new Set(kept)].sort((left, right) => left - right)
}
