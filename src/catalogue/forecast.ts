import type { Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import { afterEnding, planEnding, type SeriesView } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { type Member, membersAround, membersNamed, numbersOf } from './members.ts'
import { type CountedSeries, seriesOf } from './series.ts'
import { joinRuns, loadView, type Run } from './series-view.ts'

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

/**
 * Foretells the purge of `setIds`, kept or deleted sets of the instance, at an instant `at` of service
 * time. Purges are decided in the order of their deletions; deleted sets whose window is over by then
 * and whose deletion is earlier are purged before, those in a window that lasts longer count as kept.
 * Only deleted sets between the same kept neighbours are looked at: others share no bytes with them.
 * `members` are the sets if they were read before in this transaction.
 */
export async function forecastDeletion(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  at: Instant,
  members?: readonly Member[],
): Promise<Forecast> {
  const of = await seriesOf(tx, instanceId)
  if (of === null) {
    return { releasedBytes: 0, freedBytes: 0, remainingCount: 0, exact: true }
  }
  return foretell(tx, of, members ?? (await membersNamed(tx, of.series, setIds)), at)
}

/** The same for members of a series that was read. */
export async function foretell(
  tx: Transaction,
  of: CountedSeries,
  mine: readonly Member[],
  at: Instant,
): Promise<Forecast> {
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
