import { sql } from 'kysely'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import { afterEnding, planEnding } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { beingReadSql } from './pins.ts'
import { loadView, runsOf } from './series-view.ts'

/** What deleting sets gives, if their purge is decided now. */
export interface Forecast {
  /** Stored bytes that become garbage, manifests included. */
  readonly releasedBytes: number
  /** What the disk gets back. */
  readonly freedBytes: number
  /** Kept sets that remain. */
  readonly remainingCount: number
  /**
   * False while a backup or a restore pins one of the sets involved: the purge then waits, and the
   * figure is an expectation.
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
 * Foretells the purge of `setIds`, kept or deleted sets of the instance. Deleted ones between the same
 * kept neighbours are taken to be purged before, in the order of their deletions: others share no
 * bytes with them.
 */
export async function forecastDeletion(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly BackupSetId[],
): Promise<Forecast> {
  const found = await sql<{ series: SeriesId; kept: number }>`
    select series, kept_count as kept from series
    where instance_id = ${instanceId}`.execute(sqlOf(tx))
  const [of] = found.rows
  if (of === undefined) {
    return { releasedBytes: 0, freedBytes: 0, remainingCount: 0, exact: true }
  }
  const mine = await membersNamed(tx, of.series, setIds)
  const numbers = mine.map((member) => member.number)
  const waiting = await membersAround(tx, of.series, numbers)
  const all = [...mine, ...waiting].map((member) => member.number).sort((a, b) => a - b)
  const runs = await runsOf(tx, of.series, all, 'kept or deleted')
  let view = await loadView(tx, of.series, runs, 'bytes')
  for (const group of groupsOf(waiting)) view = afterEnding(view, planEnding(view, group))
  const ending = planEnding(view, numbers)
  const manifestBytes = mine.reduce((total, member) => total + member.manifestBytes, 0)
  return {
    releasedBytes: ending.releasedBytes + manifestBytes,
    freedBytes: ending.freedBytes + manifestBytes,
    remainingCount: of.kept - mine.filter((member) => member.deletion === null).length,
    exact: ![...mine, ...waiting].some((member) => member.pinned),
  }
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

/** Deleted sets between the kept neighbours of `numbers`, without those themselves. */
async function membersAround(
  tx: Transaction,
  series: SeriesId,
  numbers: readonly SetNumber[],
): Promise<readonly Member[]> {
  const runs = await runsOf(tx, series, numbers, 'kept')
  const { rows } = await sql<Member>`
    select distinct ${MEMBER}
    from unnest(${runs.map((run) => run.previous)}::int[], ${runs.map((run) => run.next)}::int[])
      as r(previous, next)
    join backup_set s on s.series = ${series} and s.state = 'deleted'
      and s.number > r.previous and s.number < coalesce(r.next, 2147483647)
    where s.number <> all(${numbers}::int[])
    order by s.deletion, s.number`.execute(sqlOf(tx))
  return rows
}

function groupsOf(members: readonly Member[]): readonly (readonly SetNumber[])[] {
  const groups = new Map<number | null, SetNumber[]>()
  for (const member of members) {
    const group = groups.get(member.deletion)
    if (group) group.push(member.number)
    else groups.set(member.deletion, [member.number])
  }
  return [...groups.values()]
}
