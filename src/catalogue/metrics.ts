import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { EventKind } from '../domain/event.ts'
import type { InstanceStatus } from '../domain/instance.ts'
import type { JobKind, JobState } from '../domain/job.ts'
import { listedSql } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { holdsSql } from './holds.ts'
import { NO_USAGE, type Usage, usageOfAll, usageOfRepository } from './usage.ts'

/** One instance that is not released, as it is measured. Null: there is nothing to measure yet. */
export interface InstanceFigures {
  readonly instanceId: InstanceId
  readonly status: InstanceStatus
  readonly writing: number
  readonly kept: number
  readonly deleted: number
  readonly failed: number
  /** Σ of file lengths of the kept sets. */
  readonly contentBytes: number
  /** Of the deleted ones, those that can still be brought back. */
  readonly undeletable: number
  /** Holds in force, several of one set counted each. */
  readonly holds: number
  /** What was told and has not ended. */
  readonly overdue: boolean
  readonly expiryStopped: boolean
  readonly last: LastBackup | null
  readonly probe: ProbeFigures | null
}

/** The newest set that was made, also when it has been deleted since. Service times. */
export interface LastBackup {
  readonly finishedAt: Instant
  readonly startedAt: Instant
  readonly contentBytes: number
  readonly newBytes: number
  /** What its own objects take now. */
  readonly storedBytes: number
}

/** What the latest looks at its servers have shown. */
export interface ProbeFigures {
  readonly failures: number
  readonly standbyFailures: number
  readonly findings: number
  /** Real time, seconds since the epoch. */
  readonly probedAtSeconds: number
}

export interface JobFigures {
  readonly kind: JobKind
  readonly state: JobState
  readonly count: number
  /** Service time at which the oldest was asked for. */
  readonly oldestAt: Instant
}

interface Waiting {
  readonly eventsWaiting: number
  readonly oldestWaitingSeconds: number
  /** Chains of receipts, or the file of their heads, of which it was told that they are broken. */
  readonly receiptsBroken: number
}

/** What the catalogue can tell of everything, at one moment. */
export interface Figures {
  readonly instances: readonly (InstanceFigures & { readonly usage: Usage })[]
  readonly jobs: readonly JobFigures[]
  readonly store: Waiting & {
    /** Of everything: also what released instances left and what belongs to none. */
    readonly usage: Usage
  }
}

/** For the rest of the transaction: no statement takes longer. */
export async function limitReading(tx: Transaction, statementTimeoutMs: number): Promise<void> {
  await sql`select set_config('statement_timeout', ${String(statementTimeoutMs)}, true)`.execute(
    sqlOf(tx),
  )
}

/**
 * A few statements over rows. Their cost grows with the number of sets and packs there are, and not
 * with what is stored in them: about a tenth of a second for 10,000 sets.
 */
export async function readFigures(tx: Transaction, now: Instant): Promise<Figures> {
  const db = sqlOf(tx)
  const instances = await sql<InstanceFigures>`${instancesSql(now)}`.execute(db)
  const jobs = await sql<JobFigures>`
    select kind, state, count(*) as count, min(created_at) as "oldestAt"
    from job group by kind, state`.execute(db)
  const waiting = await sql<Waiting>`
    select count(*) as "eventsWaiting",
      coalesce(extract(epoch from now() - min(happened_at)), 0)::float8 as "oldestWaitingSeconds",
      (select count(*) from alarm where kind = 'receipts-broken') as "receiptsBroken"
    from event where ${WAITS}`.execute(db)
  const [figures] = waiting.rows
  invariant(figures, 'sums without groups are one row')
  const usages = await usageOfAll(tx)
  const usageOf = new Map(usages.map((usage) => [usage.instanceId, usage]))
  return {
    instances: instances.rows.map((instance) => ({
      ...instance,
      usage: usageOf.get(instance.instanceId) ?? NO_USAGE,
    })),
    jobs: jobs.rows,
    store: { ...figures, usage: await usageOfRepository(tx, usages) },
  }
}

const WAITS = sql`channel = 'notification' and notified_at is null and given_up_at is null`

/** Whether an alarm about the instance (alias `i`) was raised and has not ended. */
function toldSql(kind: EventKind) {
  return sql`exists (select 1 from alarm a where a.kind = ${kind} and a.subject = i.instance_id)`
}

const MADE = sql`l.state in ('kept', 'deleted', 'purged')`

const instancesSql = (now: Instant) => sql`
  with counted as (
    select instance_id, count(*) filter (where state = 'writing') as writing,
      count(*) filter (where state = 'kept') as kept,
      count(*) filter (where state = 'deleted') as deleted,
      count(*) filter (where state = 'deleted' and purge_after > ${now}) as undeletable,
      count(*) filter (where state = 'failed' and ${listedSql(now)}) as failed,
      coalesce(sum(content_bytes) filter (where state = 'kept'), 0)::bigint as content
    from backup_set s where state in ('writing', 'kept', 'deleted', 'failed') group by instance_id),
  held as (
    select instance_id, count(*) as holds from hold h
    where ${holdsSql(now)} group by instance_id)
  select i.instance_id as "instanceId", i.status, coalesce(c.writing, 0) as writing,
    coalesce(c.kept, 0) as kept, coalesce(c.deleted, 0) as deleted,
    coalesce(c.failed, 0) as failed, coalesce(c.content, 0) as "contentBytes",
    coalesce(c.undeletable, 0) as undeletable, coalesce(h.holds, 0) as holds, last.json as last,
    ${toldSql('backup-overdue')} as overdue, ${toldSql('expiry-stopped')} as "expiryStopped",
    case when p.instance_id is not null then json_build_object('failures', p.failures,
      'standbyFailures', p.standby_failures, 'findings', p.findings,
      'probedAtSeconds', extract(epoch from p.probed_at)) end as probe
  from instance i left join series s using (instance_id)
    left join counted c using (instance_id) left join held h using (instance_id)
    left join probe p using (instance_id)
    left join lateral (
      select json_build_object('finishedAt', l.finished_at, 'startedAt', l.started_at,
        'contentBytes', l.content_bytes, 'newBytes', l.new_bytes, 'storedBytes', (
          select coalesce(sum(x.bytes), 0) from object x
          where x.series = l.series and x.number = l.number
            and x.state in ('there', 'abandoned'))) as json
      from backup_set l where l.series = s.series and ${MADE}
      order by l.number desc limit 1) last on true
  where i.status <> 'Released' order by i.instance_id`

/** What the last success of each live instance is judged by. */
export interface BackupAge {
  readonly instanceId: InstanceId
  readonly createdAt: Instant
  /** Service time of the last success; null when there was none. */
  readonly finishedAt: Instant | null
  /** Comma-separated weekdays. */
  readonly preferredPeriod: string
}

/** Instances that are to be backed up. */
export async function backupAges(tx: Transaction): Promise<readonly BackupAge[]> {
  const { rows } = await sql<BackupAge>`
    select i.instance_id as "instanceId", i.created_at as "createdAt",
      s.last_success_at as "finishedAt", i.preferred_period as "preferredPeriod"
    from instance i left join series s using (instance_id)
    where i.status in ('Running', 'Stopped') order by i.instance_id`.execute(sqlOf(tx))
  return rows
}
