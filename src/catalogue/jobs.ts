import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { Fault, invariant } from '../base/fault.ts'
import type { InstanceId, JobId } from '../base/ids.ts'
import type {
  Attempt,
  JobKind,
  JobParameters,
  JobProgress,
  JobRecord,
  JobRequest,
} from '../domain/job.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { plannedOnce } from './sql/connection.ts'

/** Inserts the row that is the truth about the job. A second backup at a time is a Fault 'exists'. */
export async function insertJob(
  tx: Transaction,
  request: JobRequest,
  now: Instant,
): Promise<JobId> {
  const { rows } = await sql<{ id: JobId }>`${plannedOnce}
    insert into job (kind, instance_id, parameters, request_id, created_at)
    values (${request.kind}, ${request.instanceId}, ${JSON.stringify(request.parameters)},
      ${request.requestId}, ${now})
    on conflict (instance_id) where kind = 'take-backup' and state in ('queued', 'running')
    do nothing returning job_id as id`.execute(sqlOf(tx))
  if (!rows[0]) throw new Fault('exists', 'a backup of this instance is queued or running')
  return rows[0].id
}

/** A job as its worker takes it up. */
export interface TakenJob {
  readonly attempt: Attempt
  readonly kind: JobKind
  readonly instanceId: InstanceId
  readonly parameters: JobParameters[JobKind]
  readonly requestId: string | null
  /** Set when an earlier attempt had begun to fail or to be cancelled: only cleaning up is left. */
  readonly cause: string | null
}

/** Begins the next attempt, which supersedes those before it; null when the job has ended. */
export async function beginAttempt(tx: Transaction, id: JobId): Promise<TakenJob | null> {
  const { rows } = await sql<Omit<TakenJob, 'attempt'> & { number: number }>`
    update job set attempt = attempt + 1, state = 'running'
    where job_id = ${id} and state in ('queued', 'running')
    returning attempt as number, kind, instance_id as "instanceId", parameters,
      request_id as "requestId", cause`.execute(sqlOf(tx))
  const [row] = rows
  if (!row) return null
  const { number, ...job } = row
  return { ...job, attempt: { jobId: id, number } }
}

/** First statement of every transaction of a job: of two runs only the later one counts. */
export async function fence(tx: Transaction, attempt: Attempt): Promise<void> {
  const { rows } = await sql`
    select 1 from job where job_id = ${attempt.jobId} and attempt = ${attempt.number}
      and state = 'running' for update`.execute(sqlOf(tx))
  if (rows.length === 0) {
    throw new Fault('superseded', `attempt ${attempt.number} of job ${attempt.jobId} is over`)
  }
}

export type Outcome =
  | { readonly state: 'finished' }
  | { readonly state: 'failed' | 'cancelled'; readonly cause: string }

/** In the job's last transaction, after its fence. */
export async function finishJob(
  tx: Transaction,
  attempt: Attempt,
  outcome: Outcome,
  now: Instant,
): Promise<void> {
  await sql`
    update job set state = ${outcome.state}, ended_at = ${now},
      cause = ${outcome.state === 'finished' ? null : outcome.cause}
    where job_id = ${attempt.jobId}`.execute(sqlOf(tx))
}

/** Notes why the job is about to end badly, so that a later attempt only cleans up. */
export async function noteCause(tx: Transaction, attempt: Attempt, cause: string): Promise<void> {
  await sql`update job set cause = ${cause} where job_id = ${attempt.jobId}`.execute(sqlOf(tx))
}

/** Counts a failure that may pass by itself; returns how many there were. Crashes do not count. */
export async function countFailure(tx: Transaction, attempt: Attempt): Promise<number> {
  const { rows } = await sql<{ failures: number }>`
    update job set failures = failures + 1 where job_id = ${attempt.jobId}
    returning failures`.execute(sqlOf(tx))
  return rows[0]?.failures ?? 0
}

/** Reports progress; tells whether to go on. Not fenced by a lock: it changes nothing that counts. */
export async function reportProgress(
  tx: Transaction,
  attempt: Attempt,
  phase: string,
  progress: JobProgress,
): Promise<'go-on' | 'cancel' | 'superseded'> {
  const { rows } = await sql<{ cancel: boolean }>`
    update job set phase = ${phase}, done_bytes = ${progress.doneBytes},
      of_bytes = ${progress.ofBytes}
    where job_id = ${attempt.jobId} and attempt = ${attempt.number} and state = 'running'
    returning cancel_requested as cancel`.execute(sqlOf(tx))
  if (!rows[0]) return 'superseded'
  return rows[0].cancel ? 'cancel' : 'go-on'
}

/** True when there is such a job of the instance that has not ended. */
export async function requestCancel(
  tx: Transaction,
  instanceId: InstanceId,
  id: JobId,
): Promise<boolean> {
  const { rows } = await sql`
    update job set cancel_requested = true
    where job_id = ${id} and instance_id = ${instanceId} and kind = 'take-backup'
      and state in ('queued', 'running') returning 1`.execute(sqlOf(tx))
  return rows.length > 0
}

const RECORD = sql`job_id as id, kind, instance_id as "instanceId", state, phase,
  done_bytes as "doneBytes", of_bytes as "ofBytes", set_id as "backupSetId", cause,
  coalesce(parameters->>'mode', 'Automated') as mode`

type RecordRow = Omit<JobRecord, 'progress'> & JobProgress

/** Backup jobs of an instance: the one named, else those that have not ended. Newest first. */
export async function listBackupJobs(
  tx: Transaction,
  instanceId: InstanceId,
  id: JobId | null,
): Promise<readonly JobRecord[]> {
  const { rows } = await sql<RecordRow>`
    select ${RECORD} from job
    where instance_id = ${instanceId} and kind = 'take-backup'
      and case when ${id}::bigint is null then state in ('queued', 'running')
          else job_id = ${id}::bigint end
    order by job_id desc limit 1000`.execute(sqlOf(tx))
  return rows.map(toRecord)
}

/** Asks every backup of the instance to end. */
export async function cancelBackups(tx: Transaction, instanceId: InstanceId): Promise<void> {
  await sql`
    update job set cancel_requested = true
    where instance_id = ${instanceId} and kind = 'take-backup'
      and state in ('queued', 'running')`.execute(sqlOf(tx))
}

/** Jobs of an instance that have not ended. */
export async function openJobsOf(
  tx: Transaction,
  instanceId: InstanceId,
): Promise<readonly { id: JobId; kind: JobKind }[]> {
  const { rows } = await sql<{ id: JobId; kind: JobKind }>`
    select job_id as id, kind from job
    where instance_id = ${instanceId} and state in ('queued', 'running')`.execute(sqlOf(tx))
  return rows
}

/** Jobs that have not ended, for re-sending those that the queue has lost sight of. */
export async function openJobs(
  tx: Transaction,
): Promise<readonly { id: JobId; kind: JobKind; instanceId: InstanceId }[]> {
  const { rows } = await sql<{ id: JobId; kind: JobKind; instanceId: InstanceId }>`
    select job_id as id, kind, instance_id as "instanceId" from job
    where state in ('queued', 'running') order by job_id`.execute(sqlOf(tx))
  return rows
}

/** Whether such a job waits to be begun: asking again would be work twice. */
export async function isJobQueued(
  tx: Transaction,
  instanceId: InstanceId,
  kind: JobKind,
): Promise<boolean> {
  const { rows } = await sql`
    select 1 from job where instance_id = ${instanceId} and kind = ${kind} and state = 'queued'
    limit 1`.execute(sqlOf(tx))
  return rows.length > 0
}

function toRecord(row: RecordRow): JobRecord {
  const { doneBytes, ofBytes, ...record } = row
  invariant(doneBytes >= 0, 'progress only grows')
  return { ...record, progress: { doneBytes, ofBytes } }
}
