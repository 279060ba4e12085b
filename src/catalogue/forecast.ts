import { sql } from 'kysely'
import type { BackupSetId, InstanceId, SeriesId } from '../base/ids.ts'
import { afterEnding, planEnding } from '../series/ending.ts'
import type { SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { beingReadSql } from './pins.ts'
import { joinRuns, loadView, type Neighbours, neighboursSql } from './series-view.ts'
import { plannedOnce } from './sql/connection.ts'

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

/** Its neighbours are kept sets: whatever is deleted between them takes part. */
interface Member extends Neighbours {
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
  const found = await sql<{ series: SeriesId; kept: number }>`${plannedOnce}
    select series, kept_count as kept from series
    where instance_id = ${instanceId}`.execute(sqlOf(tx))
  const [of] = found.rows
  if (of === undefined) {
    return { releasedBytes: 0, freedBytes: 0, remainingCount: 0, exact: true }
  }
  const mine = await membersNamed(tx, of.series, setIds)
  const waiting = await membersAround(tx, of.series, mine)
  const members = [...mine, ...waiting].sort((a, b) => a.number - b.number)
  const wanted = waiting.length === 0 ? 'totals' : 'deaths'
  let view = await loadView(tx, of.series, joinRuns(members), wanted)
  for (const group of groupsOf(waiting)) view = afterEnding(view, planEnding(view, group))
  const numbers = mine.map((member) => member.number)
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
  const { columns, joins } = neighboursSql(series, 's.number', 'kept')
  const { rows } = await sql<Member>`${plannedOnce}
    select ${MEMBER}, ${columns} from backup_set s ${joins}
    where s.series = ${series} and s.state in ('kept', 'deleted')
      and s.set_id = any(${setIds}::bigint[])
    order by s.number`.execute(sqlOf(tx))
  return rows
}

/**
 * Deleted sets between the kept neighbours of those named, without those themselves. One between two
 * that are named is found from both.
 */
async function membersAround(
  tx: Transaction,
  series: SeriesId,
  named: readonly Member[],
): Promise<readonly Member[]> {
  const { rows } = await sql<Member>`${plannedOnce}
    select distinct on (s.deletion, s.number) ${MEMBER}, r.previous, r.next
    from (select distinct * from
        unnest(${named.map((set) => set.previous)}::int[], ${named.map((set) => set.next)}::int[])
          as u(previous, next)) r
      cross join lateral (
        select * from backup_set
        where series = ${series} and state = 'deleted'
          and number > r.previous and number < coalesce(r.next, 2147483647)
        offset 0) s
    where s.number <> all(${named.map((set) => set.number)}::int[])
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
