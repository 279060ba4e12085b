import { sql } from 'kysely'
import type { SeriesId } from '../base/ids.ts'
import type { PackState, RetirementState, SeriesView } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

interface Run {
  readonly first: SetNumber
  /** The kept number before the run; 0 when there is none. */
  readonly previous: number
  /** The kept number after it; null when the run ends with the newest set. */
  readonly next: SetNumber | null
}

/**
 * Reads what ending `numbers` (together, or some of them before others) can touch, and no more
 * (rule R6): the rows that a run of neighbours retires, and the packs those rows and no later set
 * keep alive.
 */
export async function loadView(
  tx: Transaction,
  series: SeriesId,
  numbers: readonly SetNumber[],
): Promise<SeriesView> {
  const db = sqlOf(tx)
  const kept = await sql<{ number: SetNumber }>`
    select number from backup_set
    where series = ${series} and state in ('kept', 'deleted') order by number`.execute(db)
  const keptNumbers = kept.rows.map((row) => row.number)
  const runs = runsOf(keptNumbers, new Set(numbers))
  const rows = await sql<RetirementState>`
    select t.pack, t.born, t.retired, t.bytes
    from unnest(${runs.map((r) => r.first)}::int[], ${runs.map((r) => r.previous)}::int[],
      ${runs.map((r) => r.next)}::int[]) as r(first, previous, next)
    join retirement t on t.series = ${series} and t.retired >= r.first
      and t.retired <= coalesce(r.next, 2147483647)
    where t.born > r.previous or r.next is null or t.retired < r.next`.execute(db)
  const open = runs.find((run) => run.next === null)
  const packs = await sql<PackState>`
    select pack, born, live_bytes as "liveBytes", target_bytes as "targetBytes" from pack
    where series = ${series} and (pack = any(${rows.rows.map((row) => row.pack)}::int[])
      or (born > ${open?.previous ?? 2147483647} and live_bytes > 0))`.execute(db)
  return {
    kept: keptNumbers,
    packs: new Map(packs.rows.map((pack) => [pack.pack, pack])),
    retirements: rows.rows,
  }
}

function runsOf(kept: readonly SetNumber[], ended: ReadonlySet<SetNumber>): readonly Run[] {
  const runs: Run[] = []
  let previous = 0
  let first: SetNumber | null = null
  for (const number of kept) {
    if (ended.has(number)) {
      first ??= number
      continue
    }
    if (first !== null) runs.push({ first, previous, next: number })
    first = null
    previous = number
  }
  if (first !== null) runs.push({ first, previous, next: null })
  return runs
}
