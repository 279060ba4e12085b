import { sql } from 'kysely'
import { DAY_MS, type Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import type { BackupSetFacts } from '../domain/instance.ts'
import { CLOCK_TOLERANCE_MS, type SinceSlot } from '../domain/schedule.ts'
import { factsSql } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { holdsSql } from './holds.ts'
import { pinnedSql } from './pins.ts'

/**
 * What became of automatic backups that were asked for since each instance's slot. One that is stamped in
 * the future (a clock was wrong) counts for no slot. Instances whose slot came before their schedule,
 * as it is now, are absent.
 */
export async function automaticSince(
  tx: Transaction,
  slots: ReadonlyMap<InstanceId, Instant>,
  now: Instant,
): Promise<ReadonlyMap<InstanceId, SinceSlot>> {
  const { rows } = await sql<SinceSlot & { id: InstanceId }>`
    select u.id, count(j.job_id) as count,
      (select l.ended_at from job l
        where l.instance_id = u.id and l.kind = 'take-backup' and l.created_at >= u.slot
          and l.created_at <= ${now + CLOCK_TOLERANCE_MS}
          and l.parameters->>'mode' = 'Automated' and l.state = 'failed'
          and l.job_id = max(j.job_id)) as "failedAt"
    from unnest(${[...slots.keys()]}::text[], ${[...slots.values()]}::bigint[]) as u(id, slot)
      left join job j on j.instance_id = u.id and j.kind = 'take-backup'
        and j.created_at >= u.slot and j.created_at <= ${now + CLOCK_TOLERANCE_MS}
        and j.parameters->>'mode' = 'Automated'
    where u.slot > coalesce(
      (select scheduled_from from instance i where i.instance_id = u.id), 0)
    group by u.id, u.slot`.execute(sqlOf(tx))
  return new Map(rows.map(({ id, ...since }) => [id, since]))
}

/** From when on the retention of a set (alias `s`) counts, its instance's release apart. */
const RETAINED = sql`greatest(s.finished_at, s.retained_from)`

/** Instances, released ones too, that keep a set beyond its data retention. */
export async function instancesPastRetention(
  tx: Transaction,
  now: Instant,
): Promise<readonly InstanceId[]> {
  const { rows } = await sql<{ id: InstanceId }>`
    select i.instance_id as id from instance i
    where i.status in ('Running', 'Stopped', 'Released')
      and coalesce(i.released_at, 0) < ${now} - i.data_retention_days::bigint * ${DAY_MS}
      and exists (select 1 from backup_set s
        where s.instance_id = i.instance_id and s.state = 'kept'
          and ${RETAINED} < ${now} - i.data_retention_days::bigint * ${DAY_MS})
    order by i.instance_id`.execute(sqlOf(tx))
  return rows.map((row) => row.id)
}

/** Where the last page ended. */
export interface RetainedSet extends BackupSetFacts {
  readonly retainedSince: Instant
}

/**
 * Kept sets whose retention began before `cutoff`, oldest first, after the one that is named; of
 * `unclaimed` only those that nobody holds and no restore reads.
 */
export async function setsRetainedBefore(
  tx: Transaction,
  instanceId: InstanceId,
  cutoff: Instant,
  now: Instant,
  which: 'all' | 'unclaimed',
  after: { readonly retainedSince: Instant; readonly id: BackupSetId } | null,
  limit: number,
): Promise<readonly RetainedSet[]> {
  const wanted =
    which === 'all'
      ? sql``
      : sql`and not ${pinnedSql('restore')}
          and not exists (select from hold h where h.set_id = s.set_id and ${holdsSql(now)})`
  const { rows } = await sql<RetainedSet>`
    select ${factsSql(now)}, ${RETAINED} as "retainedSince" from backup_set s
    where s.instance_id = ${instanceId} and s.state = 'kept' and ${RETAINED} < ${cutoff}
      and (${RETAINED}, s.set_id) > (${after?.retainedSince ?? 0}, ${after?.id ?? 0})
      ${wanted}
    order by ${RETAINED}, s.set_id limit ${limit}`.execute(sqlOf(tx))
  return rows
}
