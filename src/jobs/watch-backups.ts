import { type Clock, isoSeconds } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { endAlarm, raiseAlarm } from '../catalogue/events.ts'
import { type BackupAge, backupAges } from '../catalogue/metrics.ts'
import { overdueAfterMs } from '../domain/event.ts'
import { CLOCK_TOLERANCE_MS } from '../domain/schedule.ts'

/**
 * Tells once of each instance whose last success, or creation, is longer ago in service time than
 * its policy's preferred days explain, and once that it has a recent set again.
 */
export async function watchBackups(catalogue: Catalogue, clock: Clock, log: Logger): Promise<void> {
  const ages = await catalogue.transaction(backupAges)
  for (const age of ages) {
    const told = await catalogue.transaction((tx) => judge(tx, age, clock))
    if (told !== null) log.warn(told, { instanceId: age.instanceId })
  }
}

async function judge(tx: Transaction, age: BackupAge, clock: Clock): Promise<string | null> {
  const { instanceId, createdAt, finishedAt, preferredPeriod } = age
  // A success that is stamped in the future, by a clock that was wrong, is none to go by.
  const isKnown = finishedAt !== null && finishedAt <= clock.now() + CLOCK_TOLERANCE_MS
  const since = isKnown ? finishedAt : createdAt
  const limitMs = overdueAfterMs({ preferredPeriod: preferredPeriod.split(',') })
  const overdue = clock.now() - since > limitMs
  const details = {
    since: isoSeconds(since),
    limitSeconds: limitMs / 1000,
    everSucceeded: finishedAt !== null,
  }
  const event = { instanceId, details }
  const told = overdue
    ? await raiseAlarm(tx, instanceId, { ...event, kind: 'backup-overdue' })
    : await endAlarm(tx, 'backup-overdue', instanceId, { ...event, kind: 'backup-overdue-ended' })
  if (!told) return null
  return overdue ? 'backup overdue' : 'backup no longer overdue'
}
