import type { Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import { afterEnding, planEnding, type RetirementState, type SeriesView } from '../series/ending.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { type Forecast, orderOf, runsBetween } from './forecast.ts'
import { type Member, membersAround, membersNamed, numbersOf } from './members.ts'
import { seriesOf } from './series.ts'
import { loadView } from './series-view.ts'

/**
 * For each of `setIds` what `forecastDeletion` says of it alone. They must be kept sets or such whose
 * undelete window is not over at `at`; unknown ones are absent. What is around them is read once for all.
 */
export async function forecastEach(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
  at: Instant,
): Promise<ReadonlyMap<BackupSetId, Forecast>> {
  const of = await seriesOf(tx, instanceId)
  if (of === null || setIds.length === 0) return new Map()
  const mine = await membersNamed(tx, of.series, setIds)
  const around = await membersAround(tx, of.series, mine, at)
  const over = around.filter((member) => member.over)
  const standing = numbersOf(around.filter((member) => !member.over))
  const view = await loadView(tx, of.series, runsBetween([...over, ...mine], standing), 'deaths')
  const bytes = bytesOfEach(view, over, mine)
  return new Map(
    mine.map((member): [BackupSetId, Forecast] => {
      const before = over.filter((other) => isBefore(other, member))
      const { releasedBytes = 0, freedBytes = 0 } = bytes.get(member) ?? {}
      const forecast = {
        releasedBytes: releasedBytes + member.manifestBytes,
        freedBytes: freedBytes + member.manifestBytes,
        remainingCount: of.kept - (member.deletion === null ? 1 : 0),
        exact:
          !member.pinned &&
          !before.some((other) => other.pinned || other.deletion === member.deletion),
      }
      return [member.id, forecast]
    }),
  )
}

/** Whether the other's purge is decided before this one's, and touches what this one does. */
function isBefore(other: Member, member: Member): boolean {
  const { previous, next } = member
  const inGap = other.number > previous && (next === null || other.number < next)
  return inGap && orderOf(other) <= orderOf(member)
}

type Bytes = Pick<Forecast, 'releasedBytes' | 'freedBytes'>

/** Walks through the purges in their order; between two of them nothing but the one set ends. */
function bytesOfEach(
  start: SeriesView,
  over: readonly Member[],
  mine: readonly Member[],
): ReadonlyMap<Member, Bytes> {
  const turns = Map.groupBy(over, orderOf)
  const waiting = [...turns].sort(([left], [right]) => left - right)
  const bytes = new Map<Member, Bytes>()
  let view = start
  let rows = rowsByEnd(view)
  for (const member of mine.toSorted((left, right) => orderOf(left) - orderOf(right))) {
    while (waiting[0] && waiting[0][0] <= orderOf(member)) {
      const [, members] = waiting.shift() as (typeof waiting)[number]
      view = afterEnding(view, planEnding(view, numbersOf(members)))
      if (!waiting[0] || waiting[0][0] > orderOf(member)) rows = rowsByEnd(view)
    }
    bytes.set(member, planEnding(viewAround(view, rows, member.number), [member.number]))
  }
  return bytes
}

type RowsByEnd = ReadonlyMap<SetNumber, readonly RetirementState[]>

function rowsByEnd(view: SeriesView): RowsByEnd {
  return Map.groupBy(view.retirements, (row) => row.retired)
}

/** The little of a view that the end of one set touches. */
function viewAround(view: SeriesView, rows: RowsByEnd, number: SetNumber): SeriesView {
  const place = view.kept.indexOf(number)
  const [previous, next] = [view.kept[place - 1], view.kept[place + 1]]
  const kept = [previous, number, next].filter((one) => one !== undefined)
  const ends = next === undefined ? [number] : [number, next]
  const retirements = ends
    .flatMap((end) => rows.get(end) ?? [])
    .filter((row) => row.born > (previous ?? 0))
  const touched = retirements.map((row) => row.pack)
  const young =
    next === undefined
      ? [...view.packs].flatMap(([pack, { born }]) => (born > (previous ?? 0) ? [pack] : []))
      : []
  return { kept, packs: packsOf(view, [...touched, ...young]), retirements }
}

function packsOf(view: SeriesView, numbers: readonly PackNumber[]): SeriesView['packs'] {
  return new Map(
    numbers.flatMap((number) => {
      const pack = view.packs.get(number)
      return pack ? [[number, pack] as const] : []
    }),
  )
}
