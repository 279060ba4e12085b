import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/**
 * What happened that a person has to hear of, with the state of telling it; what holds and was told
 * already; what the last probe of each instance showed; and indexes that measuring goes by.
 */
const STATEMENTS = [
  // No reference to the instance: what is told of one outlives it.
  `create table event (
     event bigint generated always as identity primary key,
     kind text not null, severity text not null check (severity in ('critical', 'warning', 'info')),
     channel text not null check (channel in ('notification', 'dead-man')),
     instance_id text, service_time bigint not null,
     happened_at timestamptz not null default clock_timestamp(),
     details jsonb not null default '{}', tries int not null default 0,
     notified_at timestamptz, given_up_at timestamptz)`,
  `create index event_waiting on event (channel, event)
     where notified_at is null and given_up_at is null`,
  `create index event_age on event (happened_at)`,
  `create table alarm (
     kind text not null, subject text not null, raised_at timestamptz not null default now(),
     primary key (kind, subject))`,
  `create table probe (
     instance_id text primary key references instance on delete cascade,
     running boolean not null, failures int not null, standby_failures int not null,
     findings int not null, probed_at timestamptz not null)`,
  `create index job_by_state on job (kind, state, created_at)`,
]

export const events: Migration = {
  async up(kysely: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(kysely)
  },
}
