import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/**
 * Receipts, with the head of each instance's chain; events that are only recorded; and the indexes
 * that listing both goes by. `body` is the exact text that is hashed, the columns beside it only help
 * to find it.
 */
const STATEMENTS = [
  // No reference to the instance: receipts outlive it. `event` is of the sequence of table event.
  `create table receipt (
     instance_id text not null, n int not null check (n > 0), event bigint not null unique,
     kind text not null, service_time bigint not null, recorded_at bigint not null,
     request_id text, body text not null, previous text not null, hash text not null,
     primary key (instance_id, n))`,
  `create index receipt_time on receipt (service_time, event)`,
  `create index receipt_time_of_instance on receipt (instance_id, service_time, event)`,
  `create table receipt_head (
     instance_id text primary key, n int not null, hash text not null,
     changed xid8 not null default pg_current_xact_id())`,
  `create index receipt_head_changed on receipt_head (changed)`,
  `create function refuse_change_of_receipts() returns trigger language plpgsql as $$
     begin raise exception 'receipts are never changed or removed'; end $$`,
  `create trigger receipt_stays before update or delete or truncate on receipt
     for each statement execute function refuse_change_of_receipts()`,
  `create trigger receipt_head_stays before delete or truncate on receipt_head
     for each statement execute function refuse_change_of_receipts()`,
  `alter table event drop constraint event_channel_check`,
  `alter table event add constraint event_channel_check
     check (channel in ('notification', 'dead-man', 'record'))`,
  `create index event_refused on event (happened_at) where kind = 'call-refused'`,
  `create index event_shown on event (service_time, event)
     where kind in ('call-refused', 'backup-finished', 'backup-failed')`,
  `create index event_shown_of_instance on event (instance_id, service_time, event)
     where kind in ('call-refused', 'backup-finished', 'backup-failed')`,
]

export const receipts: Migration = {
  async up(kysely: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(kysely)
  },
}
