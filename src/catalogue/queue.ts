import { sql } from 'kysely'
import { fromKysely, PgBoss } from 'pg-boss'
import type { Instant } from '../base/clock.ts'
import type { JobId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { createSeldom } from '../base/seldom.ts'
import type { JobKind, JobRequest } from '../domain/job.ts'
import { isConnectionLoss, LOSS_LOGGED_MS } from './connection-loss.ts'
import type { Catalogue, Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { insertJob, openJobs } from './jobs.ts'
import { connectionOptions } from './sql/connection.ts'

/**
 * Carries the IDs of jobs to workers. A worker that dies is noticed by its missing heartbeats, and
 * its job runs again within 30 seconds; a job may therefore run twice, and its fence decides.
 */
export interface Queue extends AsyncDisposable {
  /** Writes the job's row and sends its ID, both in `tx`. */
  enqueue(tx: Transaction, request: JobRequest, now: Instant): Promise<JobId>
  /**
   * Runs `handle` for jobs of these kinds; a rejection sends the job round again. Disposing what it
   * gives takes no more of them, and waits for those that run.
   */
  consume(kinds: readonly JobKind[], handle: Handler): Promise<AsyncDisposable>
  /** Stops taking jobs; waits `graceMs` for those that run. */
  drain(graceMs: number): Promise<void>
  /** Sends jobs again that have not ended and that the queue no longer carries. */
  resendLost(): Promise<void>
  /**
   * For a process that knows it is alone with the catalogue: what counts as running was run by a
   * process that is dead, and goes round again without waiting for its heartbeats to be missed.
   */
  takeOverRunning(): Promise<void>
  ping(): Promise<void>
}

export interface Delivery {
  readonly jobId: JobId
  /** Aborts when the queue has given the job to someone else. */
  readonly signal: AbortSignal
}

export type Handler = (delivery: Delivery) => Promise<void>

const KINDS: readonly JobKind[] = [
  'create-local-instance',
  'attach-instance',
  'take-backup',
  'purge-sets',
  'remove-instance',
]

/** How many jobs of a kind run at once; jobs of one instance and kind run one after another. */
const CONCURRENCY = 2

const QUEUE_OPTIONS = {
  // One at a time for each key (the instance), in the order of asking.
  policy: 'key_strict_fifo',
  notify: true,
  // The smallest that pg-boss allows; with the intervals below a dead worker's job runs again
  // after 9–14 s.
  heartbeatSeconds: 10,
  // A crash counts as a retry, so there must be no end to them; real failures end in the handler.
  retryLimit: 1_000_000,
  retryDelay: 1,
  retryBackoff: true,
  retryDelayMax: 15,
  // The most that pg-boss lets be asked for; see `JOB_SECONDS_MAX`.
  expireInSeconds: 24 * 3600,
  deleteAfterSeconds: 24 * 3600,
} as const

/**
 * What ends a job's run is its missing heartbeats, not its length: a large backup at a limited rate
 * takes days. pg-boss bounds the run by the queue's row, and jobs copy that when they are sent; its
 * own timer holds 24 days.
 */
const JOB_SECONDS_MAX = 20 * 24 * 3600

/**
 * Connects on its own (LISTEN needs that) and makes the queues. `working`: whether this process takes
 * jobs and sees to those of dead workers; one that only asks for jobs needs less.
 */
export async function openQueue(
  catalogue: Catalogue,
  log: Logger,
  working: boolean,
): Promise<Queue> {
  const boss = new PgBoss({
    ...(connectionOptions(catalogue.connection) as { host: string; port: number }),
    max: working ? 6 : 2,
    useListenNotify: working,
    supervise: working,
    schedule: false,
    monitorIntervalSeconds: 1,
    superviseIntervalSeconds: 2,
    queueCacheIntervalSeconds: 1,
  })
  const seldom = createSeldom(LOSS_LOGGED_MS)
  boss.on('error', (error) => {
    // While there is no connection each of its workers says so, twice a second.
    // What it gives then is a copy of an error, not one.
    const copied = Object.assign(new Error(error.message), error)
    const passedOver = isConnectionLoss(copied) ? seldom() : 0
    if (passedOver !== null) log.warn('job queue error', { error: error.message, passedOver })
  })
  await boss.start()
  for (const kind of KINDS) await boss.createQueue(kind, QUEUE_OPTIONS)
  await catalogue.transaction(async (tx) => {
    await sql`update pgboss.queue set expire_seconds = ${JOB_SECONDS_MAX}
               where name = any (${[...KINDS]}::text[])`.execute(sqlOf(tx))
  })
  return {
    enqueue: async (tx, request, now) => {
      const jobId = await insertJob(tx, request, now)
      await send(boss, tx, request.kind, request.instanceId, jobId)
      return jobId
    },
    consume: async (kinds, handle) => {
      for (const kind of kinds) await consumeKind(boss, kind, handle)
      return {
        [Symbol.asyncDispose]: async () => {
          await Promise.all(kinds.map((kind) => boss.offWork(kind, { wait: true })))
        },
      }
    },
    drain: async (graceMs) => {
      for (const kind of KINDS) await boss.offWork(kind, { wait: false })
      await boss.stop({ graceful: true, timeout: graceMs, close: true })
    },
    resendLost: () => resendLost(boss, catalogue, log),
    takeOverRunning: async () => {
      for (const kind of KINDS) {
        const jobs = await boss.findJobs(kind)
        const running = jobs.filter((job) => job.state === 'active').map((job) => job.id)
        if (running.length > 0) await boss.fail(kind, running, { reason: 'its process died' })
      }
    },
    ping: async () => {
      await boss.getQueueStats(KINDS[0] ?? 'take-backup')
    },
    [Symbol.asyncDispose]: async () => boss.stop({ graceful: false, close: true }),
  }
}

async function consumeKind(boss: PgBoss, kind: JobKind, handle: Handler): Promise<void> {
  await boss.work<{ jobId: JobId }>(
    kind,
    {
      localConcurrency: CONCURRENCY,
      heartbeatRefreshSeconds: 3,
      pollingIntervalSeconds: 0.5,
      // With `notify` the queue is polled only this often, also after a job has ended.
      notifyPollingIntervalSeconds: 0.5,
    },
    async ([job]) => {
      if (job) await handle({ jobId: job.data.jobId, signal: job.signal })
    },
  )
}

async function send(
  boss: PgBoss,
  tx: Transaction,
  kind: JobKind,
  key: string,
  jobId: JobId,
): Promise<void> {
  await boss.send(kind, { jobId }, { singletonKey: key, db: fromKysely(sqlOf(tx)) })
}

async function resendLost(boss: PgBoss, catalogue: Catalogue, log: Logger): Promise<void> {
  const open = await catalogue.transaction(openJobs)
  for (const { id, kind, instanceId } of open) {
    const carried = await boss.findJobs(kind, { data: { jobId: id } })
    if (carried.some((job) => ['created', 'retry', 'active'].includes(job.state))) continue
    log.warn('job sent again', { jobId: id, kind })
    await catalogue.transaction((tx) => send(boss, tx, kind, instanceId, id))
  }
}
