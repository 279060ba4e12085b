import { type RawBuilder, sql } from 'kysely'
import type { SeriesId } from '../base/ids.ts'
import type { PackState, RetirementState, SeriesView } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { plannedOnce } from './sql/connection.ts'

/** Neighbours that end together, and what counts as kept around them. */
export interface Run {
  readonly members: readonly SetNumber[]
  /** The number before the run; 0 when there is none. */
  readonly previous: number
  /** The number after it; null when the run ends with the newest set. */
  readonly next: SetNumber | null
}

/** A number with those before and after it that count as kept; see `Run`. */
export interface Neighbours {
  readonly number: SetNumber
  readonly previous: number
  readonly next: SetNumber | null
}

/**
 * Columns `previous` and `next` of the set `number` of `series`, as joins: two index lookups for each
 * number, however long the series is.
 */
export function neighboursSql(
  series: RawBuilder<unknown>,
  number: RawBuilder<unknown>,
  states: 'kept' | 'kept or deleted',
): { readonly columns: RawBuilder<unknown>; readonly joins: RawBuilder<unknown> } {
  // Spelt as in the partial indexes, or they are not used.
  const counts = sql.raw(states === 'kept' ? `state = 'kept'` : `state in ('kept', 'deleted')`)
  return {
    columns: sql`coalesce(previous_set.number, 0) as previous, next_set.number as next`,
    joins: sql`
      left join lateral (select number from backup_set
        where series = ${series} and number < ${number} and ${counts}
        order by number desc limit 1) previous_set on true
      left join lateral (select number from backup_set
        where series = ${series} and number > ${number} and ${counts}
        order by number limit 1) next_set on true`,
  }
}

/** The runs that `numbers` form among the sets that are kept or deleted. */
export async function runsOf(
  tx: Transaction,
  series: SeriesId,
  numbers: readonly SetNumber[],
): Promise<readonly Run[]> {
  const { columns, joins } = neighboursSql(sql`${series}`, sql`u.number`, 'kept or deleted')
  const { rows } = await sql<Neighbours>`
    select u.number, ${columns} from unnest(${numbers}::int[]) as u(number) ${joins}
    order by u.number`.execute(sqlOf(tx))
  return joinRuns(rows)
}

/** `neighbours` ascending by number. Those belong to one run between which nothing else is kept. */
export function joinRuns(neighbours: readonly Neighbours[]): readonly Run[] {
  const runs: { members: SetNumber[]; previous: number; next: SetNumber | null }[] = []
  for (const { number, previous, next } of neighbours) {
    const run = runs.at(-1)
    if (run && (run.next === null || previous < run.next)) {
      run.members.push(number)
      run.next = next
    } else runs.push({ members: [number], previous, next })
  }
  return runs
}

/**
 * `everything` is what a purge changes. For a forecast the rows that can die are enough: `deaths` has
 * each of them, `totals` one for each pack, when all members end together and so all of them die.
 */
type Wanted = 'everything' | 'deaths' | 'totals'

/**
 * Reads what ending runs can touch, and no more (rule R6). Rows are retired by sets that are there, so
 * those of a run are retired by its members or its next set. `kept` of the view are the members and
 * their neighbours only: whether a row's interval is stabbed is decided by them.
 */
export async function loadView(
  tx: Transaction,
  series: SeriesId,
  runs: readonly Run[],
  wanted: Wanted,
): Promise<SeriesView> {
  const retirements = await readRetirements(tx, series, runs, wanted)
  const open = runs.find((run) => run.next === null)
  const packs = await sql<PackState>`${plannedOnce}
    select pack, born, live_bytes as "liveBytes", target_bytes as "targetBytes" from pack
    where series = ${series}
      and pack = any(${[...new Set(retirements.map((row) => row.pack))]}::int[])
    union
    select pack, born, live_bytes, target_bytes from pack
    where series = ${series} and born > ${open?.previous ?? 2147483647}
      and live_bytes > 0`.execute(sqlOf(tx))
  return {
    kept: keptAround(runs),
    packs: new Map(packs.rows.map((pack) => [pack.pack, pack])),
    retirements,
  }
}

async function readRetirements(
  tx: Transaction,
  series: SeriesId,
  runs: readonly Run[],
  wanted: Wanted,
): Promise<readonly RetirementState[]> {
  const looked = runs.flatMap((run) => lookupsOf(run, wanted))
  // The offset keeps each pair a lookup of its own: a join is taken for one that reads the history.
  const found = sql`
    from unnest(${looked.map((l) => l.retired)}::int[], ${looked.map((l) => l.bornAfter)}::int[])
        as l(retired, born_after)
      cross join lateral (
        select pack, born, retired, bytes from retirement
        where series = ${series} and retired = l.retired and born > l.born_after
        offset 0) t`
  const { rows } =
    wanted === 'totals'
      ? await sql<RetirementState>`${plannedOnce}
          select t.pack, t.born, max(t.retired) as retired, sum(t.bytes)::bigint as bytes
          ${found} group by t.pack, t.born`.execute(sqlOf(tx))
      : await sql<RetirementState>`${plannedOnce}
          select t.pack, t.born, t.retired, t.bytes ${found}`.execute(sqlOf(tx))
  return rows
}

function lookupsOf({ members, previous, next }: Run, wanted: Wanted) {
  const bornAfter = wanted === 'everything' ? 0 : previous
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
