import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/** Protections and holds, the undelete window of each set, and what decisions go by instead of counting. */
const SERVICE_NOW = `((extract(epoch from clock_timestamp()) * 1000)::bigint
  + coalesce((select value::bigint from setting where name = 'clock-offset-ms'), 0))`

const STATEMENTS = [
  `alter table instance
     add column restore_window_protection boolean not null default false,
     add column minimum_backup_sets int check (minimum_backup_sets between 1 and 10000),
     add column allow_manual_delete boolean not null default false,
     add column scheduled_from bigint`,
  // Nobody has expected this of sets and schedules that were there before: both count from now on.
  `update instance set scheduled_from = ${SERVICE_NOW}`,
  // How many sets are kept, kept up by every change of state: no decision counts the history.
  // The same for the end of the last backup that succeeded: failed runs after it can be many.
  `alter table series
     add column kept_count int not null default 0,
     add column last_success_at bigint`,
  `update series s set
     kept_count = (
       select count(*) from backup_set b where b.series = s.series and b.state = 'kept'),
     last_success_at = (
       select b.finished_at from backup_set b
       where b.series = s.series and b.state in ('kept', 'deleted', 'purged')
       order by b.number desc limit 1)`,
  `alter table backup_set
     add column purge_after bigint,
     add column retained_from bigint`,
  `update backup_set set retained_from = ${SERVICE_NOW} where state = 'kept'`,
  `update backup_set s set purge_after = d.purge_after
     from deletion d where d.deletion = s.deletion and s.state = 'deleted'`,
  `alter table backup_set add check (state <> 'deleted' or purge_after is not null)`,
  `alter table deletion
     add column cause text not null default 'by-hand'
       check (cause in ('by-hand', 'expiry', 'instance-removal')),
     add column user_name text not null default 'root'`,
  // A removal that was asked for before names its actor by two fields.
  `update job set parameters = jsonb_build_object('keep', parameters->'keep', 'actor',
       jsonb_build_object('accessKeyId', parameters->'accessKeyId', 'user', 'root',
         'address', parameters->'address'))
     where kind = 'remove-instance' and not parameters ? 'actor'`,
  `create index backup_set_due on backup_set (purge_after) where state = 'deleted'`,
  // Neighbours of a set, and the edges of what can be restored to.
  `create index backup_set_neighbours on backup_set (series, number) where state = 'kept'`,
  `create index backup_set_edges on backup_set (series, consistent_at) where state = 'kept'`,
  `create index backup_set_retained on backup_set
     (instance_id, greatest(finished_at, retained_from), set_id)
     where state = 'kept'`,
  `create table hold (
     hold bigint generated always as identity primary key,
     instance_id text not null references instance, set_id bigint not null references backup_set (set_id),
     reason text not null, access_key_id text not null, user_name text not null,
     address text not null, held_at bigint not null, held_until bigint, released_at bigint)`,
  `create index hold_of_set on hold (set_id) where released_at is null`,
  `create index hold_of_instance on hold (instance_id, hold)`,
  // What is open of tables that only grow.
  `create index job_open on job (instance_id, kind) where state in ('queued', 'running')`,
  `create index purge_open on purge (series) where finished_at is null`,
  `create index object_of_purge on object (purge) where purge is not null`,
  `create index object_intended on object (series) where state = 'intended'`,
  // What a purge has really given back so far; all of it when its reclaim is over.
  `alter table purge add column reclaimed_bytes bigint not null default 0`,
  `update purge u set reclaimed_bytes = manifest_bytes
     - (select coalesce(sum(o.bytes), 0) from object o where o.purge = u.purge)
     + (select coalesce(sum(p.target_before - p.target_after), 0) from plan p
        where p.purge = u.purge and p.finished_at is not null)`,
]

export const deletion: Migration = {
  async up(kysely: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(kysely)
  },
}
