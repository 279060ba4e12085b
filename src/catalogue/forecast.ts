import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import { afterEnding, planEnding, type SeriesView } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { beingReadSql } from './pins.ts'
import { loadView, runsOf } from './series-view.ts'

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

interface Member {
  readonly number: SetNumber
  readonly setId: number
  readonly deletion: number | null
  readonly manifestBytes: number
  readonly pinned: boolean
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
  const found = await sql<{ series: SeriesId; kept: number }>`
    select series, kept_count as kept from series
    where instance_id = ${instanceId}`.execute(sqlOf(tx))
  const [of] = found.rows
  if (of === undefined) {
    return { releasedBytes: 0, freedBytes: 0, remainingCount: 0, exact: true }
  }
  const mine = await membersNamed(tx, of.series, setIds)
  const last = mine.reduce((newest, member) => Math.max(newest, orderOf(member)), 0)
  const around = await membersAround(tx, of.series, mine, at)
  const before = around.filter((member) => orderOf(member) <= last)
  const all = [...mine, ...before].map((member) => member.number).sort((a, b) => a - b)
  const runs = await runsOf(tx, of.series, all, 'kept or deleted')
  const bytes = endInOrder(await loadView(tx, of.series, runs, 'bytes'), mine, before)
  const manifestBytes = mine.reduce((total, member) => total + member.manifestBytes, 0)
  const mixed = before.some((member) => mine.some((one) => one.deletion === member.deletion))
  return {
    releasedBytes: bytes.releasedBytes + manifestBytes,
    freedBytes: bytes.freedBytes + manifestBytes,
    remainingCount: of.kept - mine.filter((member) => member.deletion === null).length,
    exact: !mixed && ![...mine, ...before].some((member) => member.pinned),
  }
}

/** What the ends of `mine` give, each deletion ended by itself, as purges are decided. */
function endInOrder(
  start: SeriesView,
  mine: readonly Member[],
  before: readonly Member[],
): { readonly releasedBytes: number; readonly freedBytes: number } {
  const counted = new Set(mine)
  const turns = Map.groupBy([...before, ...mine], orderOf)
  let [view, releasedBytes, freedBytes] = [start, 0, 0]
  for (const [, members] of [...turns].sort(([left], [right]) => left - right)) {
    for (const mineNow of [false, true]) {
      const group = members.filter((member) => counted.has(member) === mineNow)
      if (group.length === 0) continue
      const ending = planEnding(
        view,
        group.map((member) => member.number),
      )
      view = afterEnding(view, ending)
      if (!mineNow) continue
      releasedBytes += ending.releasedBytes
      freedBytes += ending.freedBytes
    }
  }
  return { releasedBytes, freedBytes }
}

/** The turn of a set's purge; sets that are still kept come after all that are deleted. */
function orderOf({ deletion }: Member): number {
  return deletion ?? Number.MAX_SAFE_INTEGER
}

const MEMBER = sql`s.number, s.set_id as "setId", s.deletion,
  s.manifest_bytes as "manifestBytes", ${beingReadSql} as pinned`

async function membersNamed(
  tx: Transaction,
  series: SeriesId,
  setIds: readonly BackupSetId[],
): Promise<readonly Member[]> {
  const { rows } = await sql<Member>`
    select ${MEMBER} from backup_set s
    where s.series = ${series} and s.state in ('kept', 'deleted')
      and s.set_id = any(${setIds}::bigint[])
    order by s.number`.execute(sqlOf(tx))
  return rows
}

/** Deleted sets between the kept neighbours of `mine` whose windows are over at `at`, without `mine`. */
async function membersAround(
  tx: Transaction,
  series: SeriesId,
  mine: readonly Member[],
  at: Instant,
): Promise<readonly Member[]> {
  const numbers = mine.map((member) => member.number)
  const runs = await runsOf(tx, series, numbers, 'kept')
  const { rows } = await sql<Member>`
    select distinct ${MEMBER}
    from unnest(${runs.map((run) => run.previous)}::int[], ${runs.map((run) => run.next)}::int[])
      as r(previous, next)
    join backup_set s on s.series = ${series} and s.state = 'deleted' and s.purge_after <= ${at}
      and s.number > r.previous and s.number < coalesce(r.next, 2147483647)
    where s.number <> all(${numbers}::int[])
    order by s.deletion, s.number`.execute(sqlOf(tx))
  return rows
}
