import { rest } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { forgetNonces } from '../catalogue/access.ts'
import { forgetAttachTasks } from '../catalogue/attach-tasks.ts'
import { instancesDueForPurge } from '../catalogue/deletions.ts'
import { lockInstance } from '../catalogue/instances.ts'
import { isJobQueued } from '../catalogue/jobs.ts'
import { runUnderLease } from '../catalogue/leases.ts'
import { instancesDueForReclaim } from '../catalogue/reclaim.ts'
import { purgeRequest } from '../domain/job.ts'
import { expireSets } from './expire-sets.ts'
import type { WorkerParts } from './job.ts'
import { keepReceiptHeads } from './keep-receipt-heads.ts'
import { runLocalServers } from './run-local-servers.ts'
import { scheduleBackups } from './schedule-backups.ts'
import { watchInstances } from './watch-instances.ts'

const TICK_MS = 2_000
const HOUSEKEEPING_TICKS = 30

/**
 * Work that never ends, done by one process at a time, or by one of each data folder. Resolves when
 * `signal` has aborted.
 */
export async function runDuties(
  parts: WorkerParts,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { catalogue } = parts
  await Promise.all([
    runUnderLease(
      catalogue,
      'run-local-servers',
      log,
      (held) => runLocalServers(parts, log, held),
      signal,
      () => parts.localServers.release(),
    ),
    runUnderLease(
      catalogue,
      'watch-instances',
      log,
      (held) => watchInstances(parts, log, held),
      signal,
    ),
    runUnderLease(catalogue, 'schedule', log, (held) => tick(parts, log, held), signal),
    keepReceiptHeads(parts, log, signal),
  ])
}

/**
 * Asks for purges that have become due (a pin is gone, a window is over), for automatic backups and for
 * lost jobs, and lets sets expire.
 */
async function tick(parts: WorkerParts, log: Logger, signal: AbortSignal): Promise<void> {
  for (let ticks = 0; !signal.aborted; ticks += 1) {
    const { catalogue, clock } = parts
    await clock.refresh()
    const due = await catalogue.transaction((tx) => instancesDueForPurge(tx, clock.now()))
    for (const instanceId of due) await askForPurge(parts, instanceId)
    if (ticks % HOUSEKEEPING_TICKS === 0) {
      await parts.queue.resendLost()
      await catalogue.transaction(forgetNonces)
      await catalogue.transaction(forgetAttachTasks)
      const left = await catalogue.transaction(instancesDueForReclaim)
      for (const instanceId of left) await askForPurge(parts, instanceId)
    }
    if (!parts.paused.has('backups')) await scheduleBackups(parts, log)
    if (!parts.paused.has('expiry')) await expireSets(parts, log, signal)
    await rest(TICK_MS, signal)
  }
  log.info('duty ended', { duty: 'schedule' })
}

async function askForPurge(parts: WorkerParts, instanceId: InstanceId): Promise<void> {
  await parts.catalogue.transaction(async (tx) => {
    await lockInstance(tx, instanceId)
    if (await isJobQueued(tx, instanceId, 'purge-sets')) return
    await parts.queue.enqueue(tx, purgeRequest(instanceId, null), parts.clock.now())
  })
}
