import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/**
 * Service times are bigint milliseconds since the epoch; real times (leases, nonces, queue) are
 * timestamptz by the database's clock. Numbers of sets and packs are per series.
 */
const STATEMENTS = [
  `create table setting (name text primary key, value jsonb not null)`,
  `create table access_key (
     access_key_id text primary key, secret_sealed bytea not null, user_name text not null)`,
  `create table nonce (
     access_key_id text not null, nonce text not null, expires_at timestamptz not null,
     primary key (access_key_id, nonce))`,
  `create index nonce_expiry on nonce (expires_at)`,
  `create table instance (
     instance_id text primary key, engine text not null, engine_version text not null,
     category text not null, type text not null default 'Primary', status text not null,
     lock_mode text not null default 'Unlock', description text not null default '',
     created_at bigint not null, client_token text unique, client_token_hash text,
     data_retention_days int not null default 7, log_enabled boolean not null default false,
     log_retention_days int not null default 7,
     preferred_time text not null default '02:00Z-03:00Z',
     preferred_period text not null default 'Tuesday,Thursday,Saturday')`,
  `create table local_server (
     instance_id text not null references instance, role text not null, node text not null unique,
     directory text not null, port int not null unique, user_name text not null,
     password_sealed bytea not null, primary key (instance_id, role))`,
  `create table job (
     job_id bigint generated always as identity (start with 1001) primary key,
     kind text not null, instance_id text not null references instance, parameters jsonb not null,
     state text not null default 'queued', phase text not null default '',
     attempt int not null default 0,
     failures int not null default 0, request_id text, cause text,
     cancel_requested boolean not null default false,
     done_bytes bigint not null default 0, of_bytes bigint, set_id bigint,
     created_at bigint not null, ended_at bigint)`,
  `create unique index job_one_backup on job (instance_id)
     where kind = 'take-backup' and state in ('queued', 'running')`,
  `create index job_of_instance on job (instance_id, kind, created_at)`,
  `create table series (
     series bigint generated always as identity primary key,
     instance_id text not null unique references instance,
     next_number int not null default 1, next_pack int not null default 1, newest_number int)`,
  `create table deletion (
     deletion bigint generated always as identity primary key,
     series bigint not null references series, request_id text not null, access_key_id text not null,
     address text not null, deleted_at bigint not null, purge_after bigint not null,
     set_ids bigint[] not null, released_bytes bigint not null, freed_bytes bigint not null)`,
  `create table backup_set (
     series bigint not null references series, number int not null,
     set_id bigint generated always as identity (start with 100000001 maxvalue 2147483647) unique,
     instance_id text not null references instance, job_id bigint not null references job,
     attempt int not null, mode text not null, base_number int, state text not null,
     started_at bigint not null, finished_at bigint, consistent_at bigint,
     content_bytes bigint, new_bytes bigint, manifest text, manifest_bytes bigint,
     checksum text, node text, engine_version text, cause text,
     deletion bigint references deletion,
     primary key (series, number),
     check (state in ('writing', 'kept', 'deleted', 'purged', 'failed', 'burnt')))`,
  `create unique index backup_set_one_writer on backup_set (series) where state = 'writing'`,
  `create index backup_set_kept on backup_set (series, number) where state in ('kept', 'deleted')`,
  `create index backup_set_deleted on backup_set (series, deletion) where state = 'deleted'`,
  `create index backup_set_listed on backup_set (instance_id, started_at)
     where state in ('kept', 'failed')`,
  `create table pin (
     series bigint not null, number int not null, reason text not null, holder text not null,
     lease_until timestamptz not null, primary key (series, number, reason, holder))`,
  `create table pack (
     series bigint not null references series, pack int not null, born int not null,
     chunks int not null, live_bytes bigint not null, target_bytes bigint not null,
     disk_bytes bigint not null, generation int not null default 0,
     last_generation int not null default 0, object text not null,
     dead bytea not null default '', keep bytea, primary key (series, pack),
     check (live_bytes >= 0), check (target_bytes = 0 or target_bytes >= 512 + live_bytes))`,
  `create index pack_born on pack (series, born)`,
  `create index pack_due on pack (series, live_bytes) where disk_bytes > target_bytes`,
  `create table retirement (
     series bigint not null, retired int not null, born int not null, pack int not null,
     bytes bigint not null, which bytea not null, primary key (series, retired, born, pack))`,
  `create index retirement_pack on retirement (series, pack)`,
  `create table run_sum (
     series bigint not null, retired int not null, born int not null, bytes bigint not null,
     rows int not null, primary key (series, retired, born))`,
  `create table purge (
     purge bigint generated always as identity primary key,
     series bigint not null references series, set_ids bigint[] not null,
     released_bytes bigint not null, freed_bytes bigint not null, manifest_bytes bigint not null,
     decided_at bigint not null, finished_at bigint)`,
  `create table plan (
     purge bigint not null references purge, series bigint not null, pack int not null,
     target_before bigint not null, target_after bigint not null, finished_at bigint,
     primary key (purge, pack))`,
  `create index plan_open on plan (series, pack) where finished_at is null`,
  `create table object (
     name text primary key, series bigint, number int, kind text not null,
     bytes bigint not null default 0, state text not null,
     purge bigint references purge,
     check (state in ('intended', 'there', 'abandoned')))`,
  `create index object_attempt on object (series, number)`,
  `create index object_abandoned on object (series) where state = 'abandoned'`,
  `create table lease (name text primary key, holder text not null, lease_until timestamptz not null)`,
]

export const initialSchema: Migration = {
  async up(kysely: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(kysely)
  },
}
