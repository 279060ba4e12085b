import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/**
 * Instances whose servers someone else runs, and what outlives an instance: a released one keeps its
 * row, its series and the sets that its policy keeps.
 */
const STATEMENTS = [
  `alter table instance
     add column origin text not null default 'local' check (origin in ('local', 'attached')),
     add column system_identifier text,
     add column timeline int,
     add column max_rate_kib int,
     add column master_instance_id text references instance,
     add column deletion_protection boolean not null default false,
     add column released_keep_policy text
       check (released_keep_policy in ('None', 'Lastest', 'All')),
     add column released_at bigint`,
  // One row for each server that someone else runs. A node keeps its name when its role changes.
  `create table attached_server (
     instance_id text not null references instance, node text primary key, role text not null,
     host text not null, port int not null, database text not null, user_name text not null,
     password_sealed bytea not null, tls_mode text not null, root_certificate text,
     client_certificate text, client_key_sealed bytea)`,
  `create index attached_server_of on attached_server (instance_id)`,
  `create unique index attached_server_one_primary on attached_server (instance_id)
     where role = 'primary'`,
  // What came of attaching, also when nothing of the instance is left; forgotten after a day.
  `create table attach_task (
     instance_id text primary key, state text not null check (state in ('running', 'finished',
     'refused')), problems jsonb not null default '[]', asked_at timestamptz not null default now())`,
]

export const attachedInstances: Migration = {
  async up(kysely: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(kysely)
  },
}
