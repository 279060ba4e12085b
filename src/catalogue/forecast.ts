import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import { afterEnding, planEnding, type SeriesView } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { beingReadSql } from './pins.ts'
import { joinRuns, loadView, type Neighbours, neighboursSql, type Run } from './series-view.ts'
import { plannedOnce } from './sql/connection.ts'

/** What deleting sets gives, if their purge is decided at the instant it was asked for. */
export interface Forecast {
  /** Stored bytes that become garbage, manifests included. */
  readonly releasedBytes: number
  /** What the disk gets back. */
  readonly freedBytes: number
  /** Kept sets that remain. */
  readonly remainingCount: number
  /**
   * False while a backup or a restore pins one of the sets involved, whose purge then waits, and where
   * a set of the same deletion was left out: then the figure is an expectation.
   */
  readonly exact: boolean
}

/** Its neighbours are kept sets: whatever is deleted between them may take part. */
export interface Member extends Neighbours {
  readonly setId: number
  readonly deletion: number | null
  readonly manifestBytes: number
  readonly pinned: boolean
  /** Whether its undelete window is over at the instant that is asked for. */
  readonly over: boolean
}

/**
 * Foretells the purge of `setIds`, kept or deleted sets of the instance, at an instant `at` of service
 * time. Purges are decided in the order of their deletions; deleted sets whose window is over by then
 * and whose deletion is earlier are purged before, those in a window that lasts longer count as kept.
 * Only deleted sets between the same kept neighbours are looked at: others share no bytes with them.
 */
export async function forecastDeletion(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  at: Instant,
): Promise<Forecast> {
  const of = await seriesOf(tx, instanceId)
  if (of === null) {
    return { releasedBytes: 0, freedBytes: 0, remainingCount: 0, exact: true }
  }
  const mine = await membersNamed(tx, of.series, setIds)
  const last = mine.reduce((newest, member) => Math.max(newest, orderOf(member)), 0)
  const around = await membersAround(tx, of.series, mine, at)
  const endsBefore = (member: Member) => member.over && orderOf(member) <= last
  const [before, standing] = [around.filter(endsBefore), around.filter((m) => !endsBefore(m))]
  const turns = Map.groupBy([...before, ...mine], orderOf)
  const runs = runsBetween([...before, ...mine], numbersOf(standing))
  const wanted = before.length === 0 && turns.size <= 1 ? 'totals' : 'deaths'
  const bytes = endInTurn(await loadView(tx, of.series, runs, wanted), turns, new Set(mine))
  const manifestBytes = mine.reduce((total, member) => total + member.manifestBytes, 0)
  const deletions = new Set(mine.map((member) => member.deletion))
  const mixed = before.some((member) => deletions.has(member.deletion))
  return {
    releasedBytes: bytes.releasedBytes + manifestBytes,
    freedBytes: bytes.freedBytes + manifestBytes,
    remainingCount: of.kept - mine.filter((member) => member.deletion === null).length,
    exact: !mixed && ![...mine, ...before].some((member) => member.pinned),
  }
}

/** An instance's series with the number of its kept sets; null before its first backup. */
export async function seriesOf(
  tx: Transaction,
  instanceId: InstanceId,
): Promise<{ readonly series: SeriesId; readonly kept: number } | null> {
  const { rows } = await sql<{ series: SeriesId; kept: number }>`${plannedOnce}
    select series, kept_count as kept from series
    where instance_id = ${instanceId}`.execute(sqlOf(tx))
  return rows[0] ?? null
}

export function numbersOf(members: readonly Member[]): readonly SetNumber[] {
  return members.map((member) => member.number)
}

/** The runs of those that end; `standing`, ascending, are deleted sets that count as kept. */
export function runsBetween(
  ending: readonly Member[],
  standing: readonly SetNumber[],
): readonly Run[] {
  const members = ending.toSorted((left, right) => left.number - right.number)
  let passed = 0
  const neighbours = members.map(({ number, previous, next }) => {
    while ((standing[passed] ?? number) < number) passed += 1
    const below = standing[passed - 1] ?? 0
    const above = standing[passed] ?? null
    return {
      number,
      previous: Math.max(previous, below),
      next: above !== null && (next === null || above < next) ? above : next,
    }
  })
  return joinRuns(neighbours)
}

/** What the ends of `mine` give, each deletion ended by itself, as purges are decided. */
function endInTurn(
  start: SeriesView,
  turns: ReadonlyMap<number, readonly Member[]>,
  mine: ReadonlySet<Member>,
): { readonly releasedBytes: number; readonly freedBytes: number } {
  let [view, releasedBytes, freedBytes] = [start, 0, 0]
  for (const [, members] of [...turns].sort(([left], [right]) => left - right)) {
    for (const mineNow of [false, true]) {
      const group = members.filter((member) => mine.has(member) === mineNow)
      if (group.length === 0) continue
      const ending = planEnding(view, numbersOf(group))
      view = afterEnding(view, ending)
      if (!mineNow) continue
      releasedBytes += ending.releasedBytes
      freedBytes += ending.freedBytes
    }
  }
  return { releasedBytes, freedBytes }
}

/** The turn of a set's purge; sets that are still kept come after all that are deleted. */
export function orderOf({ deletion }: Member): number {
  return deletion ?? Number.MAX_SAFE_INTEGER
}

const MEMBER = sql`s.number, s.set_id as "setId", s.deletion,
  s.manifest_bytes as "manifestBytes", ${beingReadSql} as pinned`

export async function membersNamed(
  tx: Transaction,
  series: SeriesId,
  setIds: readonly BackupSetId[],
): Promise<readonly Member[]> {
  const { columns, joins } = neighboursSql(sql`${series}`, sql`s.number`, 'kept')
  const { rows } = await sql<Member>`${plannedOnce}
    select ${MEMBER}, false as over, ${columns} from backup_set s ${joins}
    where s.series = ${series} and s.state in ('kept', 'deleted')
      and s.set_id = any(${setIds}::bigint[])
    order by s.number`.execute(sqlOf(tx))
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
    select distinct on (s.number) ${MEMBER}, s.purge_after <= ${at} as over, r.previous, r.next
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
