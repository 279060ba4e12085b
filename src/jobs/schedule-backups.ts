import type { Instant } from '../base/clock.ts'
import { describeError, isFault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { automaticSince } from '../catalogue/automatic.ts'
import type { Transaction } from '../catalogue/database.ts'
import { type InstanceWithPolicy, listInstances, lockLiveInstance } from '../catalogue/instances.ts'
import { isBackupDue, latestSlot } from '../domain/schedule.ts'
import type { WorkerParts } from './job.ts'

type Needs = Pick<WorkerParts, 'catalogue' | 'queue' | 'clock'>

/**
 * Asks for the automatic backups that are due: after downtime one of each instance, not many, and
 * never one beside another that waits or runs.
 */
export async function scheduleBackups(needs: Needs, log: Logger): Promise<void> {
  const { catalogue, clock } = needs
  const now = clock.now()
  const due = await catalogue.transaction(async (tx) => findDue(tx, await listInstances(tx), now))
  for (const instanceId of due) {
    try {
      const jobId = await catalogue.transaction((tx) => askForBackup(tx, instanceId, needs, now))
      if (jobId !== null) log.info('automatic backup asked for', { instanceId, jobId })
    } catch (error) {
      // The others must not wait for what is wrong with one.
      log.error('automatic backup not asked for', { instanceId, error: describeError(error) })
    }
  }
}

async function findDue(
  tx: Transaction,
  instances: readonly InstanceWithPolicy[],
  now: Instant,
): Promise<readonly InstanceId[]> {
  const slots = new Map<InstanceId, Instant>()
  for (const { instance, policy } of instances) {
    const slot = latestSlot(policy, instance.id, now)
    const wanted = instance.status === 'Running' && instance.type !== 'Readonly'
    if (wanted && slot > instance.createdAt) slots.set(instance.id, slot)
  }
  if (slots.size === 0) return []
  const since = await automaticSince(tx, slots, now)
  return [...slots.keys()].filter((id) => {
    const found = since.get(id)
    return found !== undefined && isBackupDue(found, now)
  })
}

/** Judged again under the instance's lock; null when it is no longer due, or another backup is open. */
async function askForBackup(
  tx: Transaction,
  instanceId: InstanceId,
  { queue }: Needs,
  now: Instant,
): Promise<number | null> {
  const found = await lockLiveInstance(tx, instanceId)
  if (!found || (await findDue(tx, [found], now)).length === 0) return null
  try {
    const parameters = { mode: 'Automated' } as const
    return await queue.enqueue(
      tx,
      { kind: 'take-backup', instanceId, parameters, requestId: null },
      now,
    )
  } catch (error) {
    // One that was asked for by hand is open: the next look comes when it has ended.
    if (isFault(error, 'exists')) return null
    throw error
  }
}
