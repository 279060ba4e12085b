import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import type { ListedSet, SetFilter } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { pinnedSql } from './pins.ts'

/** A set that outlived its instance. */
export interface DetachedSet extends ListedSet {
  readonly instanceId: InstanceId
}

/** One page of the sets of released instances (of one of them, if named), newest first. */
export async function listDetachedSets(
  tx: Transaction,
  instanceId: string | null,
  filter: Omit<SetFilter, 'state'>,
  page: { readonly offset: number; readonly limit: number },
): Promise<{ readonly sets: readonly DetachedSet[]; readonly total: number }> {
  const listed = sql`
    from backup_set s join instance i using (instance_id)
    where i.released_at is not null and s.state = 'kept'
      and (${instanceId}::text is null or s.instance_id = ${instanceId})
      and (${filter.setId}::text is null or s.set_id::text = ${filter.setId})
      and (${filter.mode}::text is null or s.mode = ${filter.mode})
      and (${filter.from}::bigint is null or s.started_at >= ${filter.from})
      and (${filter.to}::bigint is null or s.started_at <= ${filter.to})`
  const db = sqlOf(tx)
  const counted = await sql<{ total: number }>`select count(*) as total ${listed}`.execute(db)
  const { rows } = await sql<DetachedSet>`
    select s.instance_id as "instanceId", s.set_id as id, s.number, s.state, s.mode,
      s.started_at as "startedAt", s.finished_at as "finishedAt",
      s.consistent_at as "consistentAt", coalesce(s.content_bytes, 0) as "contentBytes",
      coalesce(s.new_bytes, 0) as "newBytes", s.checksum, s.node, s.cause,
      ${pinnedSql('restore')} as restoring
    ${listed} order by s.started_at desc, s.set_id desc
    limit ${page.limit} offset ${page.offset}`.execute(db)
  return { sets: rows, total: counted.rows[0]?.total ?? 0 }
}
