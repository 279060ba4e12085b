import { pause } from '../base/clock.ts'
import { describeError, Fault, isFault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import type { TakenJob } from '../catalogue/jobs.ts'
import { beginAttempt, fence, finishJob, reportProgress } from '../catalogue/jobs.ts'
import type { Delivery } from '../catalogue/queue.ts'
import type { Attempt, JobKind } from '../domain/job.ts'
import { JOBS } from './all.ts'
import type { Job, Run, WorkerParts } from './job.ts'

const REPORT_MS = 500

/**
 * Takes jobs of these kinds until `stopping` aborts; those that run then go round again later.
 * Disposing what it gives takes no more, and waits for those that run.
 */
export function startWorker(
  parts: WorkerParts,
  kinds: readonly JobKind[],
  log: Logger,
  stopping: AbortSignal,
): Promise<AsyncDisposable> {
  return parts.queue.consume(kinds, (delivery) => runDelivery(delivery, parts, log, stopping))
}

async function runDelivery(
  delivery: Delivery,
  parts: WorkerParts,
  log: Logger,
  stopping: AbortSignal,
): Promise<void> {
  if (stopping.aborted) throw new Fault('transient', 'the service is stopping')
  const taken = await parts.catalogue.transaction((tx) => beginAttempt(tx, delivery.jobId))
  if (!taken) return
  const jobLog = log.child({
    jobId: delivery.jobId,
    job: taken.kind,
    instanceId: taken.instanceId,
    ...(taken.requestId ? { requestId: taken.requestId } : {}),
  })
  const ending = new AbortController()
  const cancelling = new AbortController()
  const lastingSignal = AbortSignal.any([ending.signal, delivery.signal, stopping])
  const signal = AbortSignal.any([lastingSignal, cancelling.signal])
  const run = openRun(taken, parts, jobLog, { signal, lastingSignal })
  const reporting = reportWhile(run, taken.attempt, parts.catalogue, { ending, cancelling })
  try {
    jobLog.info('job started', { attempt: taken.attempt.number })
    await runJob(taken, run, parts)
  } catch (error) {
    if (isFault(error, 'superseded')) jobLog.warn('job superseded')
    else if (stopping.aborted) jobLog.info('job stopped, to be taken up again')
    else jobLog.error('job interrupted, to be tried again', { error: describeError(error) })
    // The queue hands out only what it thinks nobody runs; the superseded attempt must not put the
    // job that runs elsewhere back into it.
    if (!isFault(error, 'superseded')) throw error
  } finally {
    ending.abort(new Fault('superseded', 'the attempt is over'))
    await reporting
  }
}

/** The one place where a kind meets its handler; the compiler cannot follow the pairing. */
function runJob(taken: TakenJob, run: Run, parts: WorkerParts): Promise<void> {
  const job = JOBS[taken.kind] as Job<JobKind>
  return job(taken.parameters, run, parts)
}

interface ReportedRun extends Run {
  readonly progress: { phase: string; doneBytes: number; ofBytes: number | null }
}

function openRun(
  taken: TakenJob,
  parts: WorkerParts,
  log: Logger,
  signals: Pick<Run, 'signal' | 'lastingSignal'>,
): ReportedRun {
  const { catalogue, clock } = parts
  const progress: ReportedRun['progress'] = { phase: '', doneBytes: 0, ofBytes: null }
  return {
    ...signals,
    progress,
    attempt: taken.attempt,
    instanceId: taken.instanceId,
    requestId: taken.requestId,
    cause: taken.cause,
    log,
    report: (phase, doneBytes = 0, ofBytes = null) => {
      Object.assign(progress, { phase, doneBytes, ofBytes })
    },
    transaction: (work) =>
      catalogue.transaction(async (tx) => {
        await fence(tx, taken.attempt)
        return work(tx)
      }),
    end: async (outcome, work) => {
      const result = await catalogue.transaction(async (tx) => {
        await fence(tx, taken.attempt)
        const value = await work(tx)
        await finishJob(tx, taken.attempt, outcome, clock.now())
        return value
      })
      log.info('job ended', { ...outcome })
      return result
    },
  }
}

/** Reports until the attempt is over, and passes on what the catalogue answers. */
async function reportWhile(
  run: ReportedRun,
  attempt: Attempt,
  catalogue: Catalogue,
  abort: { readonly ending: AbortController; readonly cancelling: AbortController },
): Promise<void> {
  while (!run.lastingSignal.aborted) {
    try {
      const { phase, ...counts } = run.progress
      const answer = await catalogue.transaction((tx) => reportProgress(tx, attempt, phase, counts))
      if (answer === 'cancel')
        abort.cancelling.abort(new Fault('cancelled', 'cancelled on request'))
      if (answer === 'superseded') {
        abort.ending.abort(new Fault('superseded', 'a later attempt has taken over'))
      }
    } catch (error) {
      run.log.warn('progress not recorded', { error: describeError(error) })
    }
    await pause(REPORT_MS, run.lastingSignal).catch(() => {
      // The attempt is over: the loop's condition ends it.
    })
  }
}
