import { rest, SECOND_MS } from '../base/clock.ts'
import type { DiskLow } from '../base/disk-low.ts'
import type { Logger } from '../base/logger.ts'
import type { Tally } from '../base/metrics.ts'
import type { Secret } from '../base/secret.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { forgetEvents, passOverOld } from '../catalogue/events.ts'
import { runUnderLease } from '../catalogue/leases.ts'
import type { WatchedFolders } from './free-space.ts'
import type { RefreshedClock } from './job.ts'
import { notify, pingDeadMan, type Receiver } from './notify.ts'
import { watchBackups } from './watch-backups.ts'
import { watchDisk } from './watch-disk.ts'

const WATCH_MS = 5 * SECOND_MS
const HOUSEKEEPING_ROUNDS = 120

export interface AlarmParts {
  readonly catalogue: Catalogue
  readonly clock: RefreshedClock
  readonly folders: WatchedFolders
  readonly diskLow: DiskLow
  /** Null: nobody is told; events are recorded all the same. */
  readonly receiver: Receiver | null
  readonly deadManUrl: Secret<string> | null
  readonly notifications: Tally
  readonly pings: Tally
}

/** The duties that look for what a person has to hear of, and tell it. Resolves after `signal`. */
export async function runAlarms(
  parts: AlarmParts,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { catalogue, receiver, deadManUrl, notifications, pings } = parts
  const duties = [
    runUnderLease(catalogue, 'alarms', log, (held) => watch(parts, log, held), signal),
  ]
  if (receiver !== null) {
    const needs = { catalogue, tries: notifications }
    const duty = (held: AbortSignal) => notify(receiver, needs, log, held)
    duties.push(runUnderLease(catalogue, 'notify', log, duty, signal))
  }
  if (deadManUrl !== null) {
    const needs = { catalogue, tries: pings }
    const duty = (held: AbortSignal) => pingDeadMan(deadManUrl, needs, log, held)
    duties.push(runUnderLease(catalogue, 'ping-dead-man', log, duty, signal))
  }
  await Promise.all(duties)
}

async function watch(parts: AlarmParts, log: Logger, signal: AbortSignal): Promise<void> {
  const { catalogue, clock, folders, diskLow } = parts
  for (let rounds = 0; !signal.aborted; rounds += 1) {
    await clock.refresh()
    await watchBackups(catalogue, clock, log)
    await watchDisk(catalogue, folders, diskLow, log)
    if (rounds % HOUSEKEEPING_ROUNDS === 0) {
      await catalogue.transaction(passOverOld)
      await catalogue.transaction(forgetEvents)
    }
    await rest(WATCH_MS, signal)
  }
}
