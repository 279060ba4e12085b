import { pause } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import { keptSets } from '../catalogue/backup-sets.ts'
import type { Transaction } from '../catalogue/database.ts'
import { deleteJudged } from '../catalogue/delete-judged.ts'
import { lockInstance, releaseInstance } from '../catalogue/instances.ts'
import { cancelBackups, openJobsOf } from '../catalogue/jobs.ts'
import { localServersOf } from '../catalogue/local-servers.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { judgeDeletion } from '../domain/deletion.ts'
import type { ReleasedKeepPolicy } from '../domain/instance.ts'
import type { RemoveParameters } from '../domain/job.ts'
import { type Job, postgresOf, type Run, type WorkerParts } from './job.ts'

const JOBS_WAIT_MS = 500

/**
 * Ends an instance: its other jobs end first, servers that this service runs are stopped and
 * removed, servers of others are not even asked. One transaction then deletes the sets that the
 * policy does not keep and releases the instance; the kept ones outlive it.
 */
export const removeInstanceJob: Job<'remove-instance'> = async (parameters, run, parts) => {
  await endOtherJobs(run)
  await removeLocalServers(run, parts)
  await run.end({ state: 'finished' }, (tx) => release(tx, parameters, run, parts))
}

/** Backups and attaching write what is about to go; a purge only goes on with what it decided. */
async function endOtherJobs(run: Run): Promise<void> {
  run.report('ending other jobs')
  for (;;) {
    const open = await run.transaction(async (tx) => {
      await cancelBackups(tx, run.instanceId)
      const jobs = await openJobsOf(tx, run.instanceId)
      return jobs.filter(({ kind }) => kind !== 'purge-sets' && kind !== 'remove-instance')
    })
    if (open.length === 0) return
    await pause(JOBS_WAIT_MS, run.signal)
  }
}

async function removeLocalServers(run: Run, parts: WorkerParts): Promise<void> {
  const { local } = postgresOf(parts)
  const servers = await run.transaction((tx) => localServersOf(tx, run.instanceId))
  for (const server of [...servers].reverse()) {
    run.report(`removing ${server.role}`)
    await parts.localServers.retire(server.node)
    const { directory } = server
    if (await parts.localServers.isOwn(directory)) await local?.remove(directory)
    else run.log.warn('the files of a local server are not here, and stay', { directory })
  }
}

async function release(
  tx: Transaction,
  { keep, actor }: RemoveParameters,
  run: Run,
  parts: WorkerParts,
): Promise<void> {
  const now = parts.clock.now()
  const by = { requestId: run.requestId, actor }
  const found = await lockInstance(tx, run.instanceId)
  if (!found) throw new Fault('not-found', `instance ${run.instanceId} is gone`)
  const sets = await keptSets(tx, run.instanceId, now)
  const unkept = sets.slice(keptCount(keep, sets.length))
  // What somebody holds outlives the instance, whatever the policy says.
  const going = unkept.filter((set) => set.holds.length === 0)
  const subjects = going.map((set) => ({ ...found, id: String(set.id), set, kept: null, now }))
  const { refusal, verdicts } = judgeDeletion(subjects, 'instance-removal')
  // A restore reads from one of them: it ends, and then this job is tried again.
  if (refusal) throw new Fault('transient', `${refusal.subject?.id}: ${refusal.finding.evidence}`)
  if (going.length > 0) {
    const asked = { cause: 'instance-removal', ...by, now } as const
    const forecast = await deleteJudged(tx, parts, run.instanceId, verdicts, asked)
    run.log.info('sets deleted', { backupIds: going.map((set) => set.id), ...forecast })
  }
  await releaseInstance(tx, run.instanceId, now)
  const details = {
    releasedKeepPolicy: keep,
    deletedCount: going.length,
    keptCount: sets.length - going.length,
    heldCount: unkept.length - going.length,
  }
  const receipt = { kind: 'remove-instance', instanceId: run.instanceId, at: now } as const
  await appendReceipt(tx, parts.receipts, { ...receipt, ...by, details })
}

/** Of the sets, newest first. */
function keptCount(keep: ReleasedKeepPolicy, sets: number): number {
  if (keep === 'All') return sets
  return keep === 'Lastest' ? Math.min(1, sets) : 0
}
