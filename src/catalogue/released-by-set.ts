import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/**
 * For each of the kept sets, of whatever instances: the stored bytes that become garbage if it alone is
 * deleted and purged at `at`, behind the deleted sets whose windows are over by then. One statement of
 * index lookups, so that a page of a thousand sets is cheap: what only set `s` uses between the nearest
 * sets that stay, `p` and `n`, was born in `(p, s]` and retired in `(s, n]`; without `n` also what is
 * open.
 */
export async function releasedBySet(
  tx: Transaction,
  setIds: readonly BackupSetId[],
  at: Instant,
): Promise<ReadonlyMap<BackupSetId, number>> {
  // Spelt as in the partial index, or it is not used.
  const there = sql`state in ('kept', 'deleted')`
  const stays = sql`${there} and (state = 'kept' or purge_after > ${at})`
  const { rows } = await sql<{ id: BackupSetId; bytes: number }>`
    select s.set_id as id, (s.manifest_bytes + case
      when n.number is not null then coalesce((
        select sum(r.bytes) from (
          select number from backup_set where series = s.series and ${there}
            and number > s.number and number <= n.number) m
        join run_sum r on r.series = s.series and r.retired = m.number
          and r.born > coalesce(p.number, 0) and r.born <= s.number), 0)
      else coalesce((
        select sum(k.live_bytes) from pack k where k.series = s.series
          and k.born > coalesce(p.number, 0) and k.born <= s.number), 0)
        - coalesce((
        select sum(r.bytes) from (
          select number from backup_set where series = s.series and ${there}
            and number > coalesce(p.number, 0) and number <= s.number) m
        join run_sum r on r.series = s.series and r.retired = m.number
          and r.born > coalesce(p.number, 0)), 0) end)::bigint as bytes
    from backup_set s
      left join lateral (select number from backup_set
        where series = s.series and number < s.number and ${stays}
        order by number desc limit 1) p on true
      left join lateral (select number from backup_set
        where series = s.series and number > s.number and ${stays}
        order by number limit 1) n on true
    where s.state = 'kept' and s.set_id = any(${setIds}::bigint[])`.execute(sqlOf(tx))
  return new Map(rows.map(({ id, bytes }) => [id, bytes]))
}
