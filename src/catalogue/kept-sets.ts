import { sql } from 'kysely'
import { DAY_MS, type Instant } from '../base/clock.ts'
import type { BackupPolicy, Instance } from '../domain/instance.ts'
import type { KeptSets } from '../domain/kept-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { plannedOnce } from './sql/connection.ts'

const NOTHING: KeptSets = {
  count: 0,
  newestId: null,
  anchorId: null,
  lastSuccessAt: null,
  earliest: [],
  latest: [],
}

/**
 * What the rules need of all kept sets of an instance together, for a request that names at most
 * `named` sets; null when nobody asks for the time that can be restored to: its edges are empty then.
 * A handful of index lookups, however long the history is.
 */
export async function keptSetsOf(
  tx: Transaction,
  { instance, policy }: { readonly instance: Instance; readonly policy: BackupPolicy },
  named: number | null,
  now: Instant,
): Promise<KeptSets> {
  const edges = (order: 'asc' | 'desc') =>
    named === null
      ? sql`'[]'::json`
      : sql`coalesce((
          select json_agg(json_build_object('id', e.set_id, 'at', e.consistent_at)) from (
            select set_id, consistent_at from backup_set
            where series = s.series and state = 'kept'
            order by consistent_at ${sql.raw(order)} limit ${named + 1}) e), '[]')`
  const window = policy.log.enabled ? now - policy.log.retentionDays * DAY_MS : null
  const { rows } = await sql<KeptSets>`${plannedOnce}
    select s.kept_count as count,
      (select set_id from backup_set where series = s.series and state = 'kept'
        order by number desc limit 1) as "newestId",
      (select set_id from backup_set where series = s.series and state = 'kept'
        and ${window}::bigint is not null and consistent_at <= ${window}::bigint
        order by consistent_at desc limit 1) as "anchorId",
      s.last_success_at as "lastSuccessAt",
      ${edges('asc')} as earliest, ${edges('desc')} as latest
    from series s where s.instance_id = ${instance.id}`.execute(sqlOf(tx))
  return rows[0] ?? NOTHING
}
