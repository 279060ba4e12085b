import { pause } from '../base/clock.ts'
import { describeError } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { forgetNonces } from '../catalogue/access.ts'
import { instancesDueForPurge } from '../catalogue/deletions.ts'
import { listInstances, lockInstance, setInstanceStatus } from '../catalogue/instances.ts'
import { isJobQueued } from '../catalogue/jobs.ts'
import { runUnderLease } from '../catalogue/leases.ts'
import { instancesDueForReclaim } from '../catalogue/reclaim.ts'
import type { Instance, InstanceStatus } from '../domain/instance.ts'
import { purgeRequest } from '../domain/job.ts'
import { postgresOf, type WorkerParts } from './job.ts'

const TICK_MS = 2_000
const WATCH_MS = 2_000
/** Probes in a row that must agree before an instance's status changes. */
const PROBES_TO_CHANGE = 3
const HOUSEKEEPING_TICKS = 30

/** Work that never ends, done by one process at a time. Resolves when `signal` has aborted. */
export async function runDuties(
  parts: WorkerParts,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { catalogue, localServers } = parts
  await Promise.all([
    runUnderLease(catalogue, 'run-local-servers', log, localServers.supervise, signal),
    runUnderLease(catalogue, 'watch-instances', log, (held) => watch(parts, log, held), signal),
    runUnderLease(catalogue, 'schedule', log, (held) => tick(parts, log, held), signal),
  ])
}

/** Asks for purges that have become due (a pin is gone, a window is over) and for lost jobs. */
async function tick(parts: WorkerParts, log: Logger, signal: AbortSignal): Promise<void> {
  for (let ticks = 0; !signal.aborted; ticks += 1) {
    const { catalogue, clock } = parts
    await clock.refresh()
    const due = await catalogue.transaction((tx) => instancesDueForPurge(tx, clock.now()))
    for (const instanceId of due) await askForPurge(parts, instanceId)
    if (ticks % HOUSEKEEPING_TICKS === 0) {
      await parts.queue.resendLost()
      await catalogue.transaction(forgetNonces)
      const left = await catalogue.transaction(instancesDueForReclaim)
      for (const instanceId of left) await askForPurge(parts, instanceId)
    }
    await pause(TICK_MS, signal).catch(() => {
      // Stopping: the loop's condition ends it.
    })
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

/** Running = the primary answers SQL and is not in recovery; what is degraded is told once. */
async function watch(parts: WorkerParts, log: Logger, signal: AbortSignal): Promise<void> {
  const seen = new Map<InstanceId, Seen>()
  while (!signal.aborted) {
    const instances = await parts.catalogue.transaction(listInstances)
    for (const { instance } of instances) {
      if (instance.status !== 'Running' && instance.status !== 'Stopped') continue
      const before = seen.get(instance.id) ?? { disagreeing: 0, findings: '' }
      const probed = await probe(parts, instance.id, log, signal)
      seen.set(instance.id, await compare(parts, log, instance, before, probed))
    }
    await pause(WATCH_MS, signal).catch(() => {
      // Stopping: the loop's condition ends it.
    })
  }
}

interface Seen {
  /** Probes in a row that did not agree with the status. */
  readonly disagreeing: number
  readonly findings: string
}

interface Probed {
  readonly status: InstanceStatus
  readonly findings: readonly string[]
}

async function compare(
  { catalogue }: WorkerParts,
  log: Logger,
  { id, status }: Instance,
  before: Seen,
  probed: Probed,
): Promise<Seen> {
  const findings = probed.findings.join('; ')
  if (findings !== before.findings) {
    log.warn('instance probed', { instanceId: id, findings: findings || 'as it should be' })
  }
  if (probed.status === status) return { disagreeing: 0, findings }
  const disagreeing = before.disagreeing + 1
  if (probed.status === 'Stopped' && disagreeing < PROBES_TO_CHANGE) {
    return { disagreeing, findings }
  }
  await catalogue.transaction(async (tx) => {
    await lockInstance(tx, id)
    await setInstanceStatus(tx, id, probed.status)
  })
  log.warn('instance status changed', { instanceId: id, status: probed.status })
  return { disagreeing: 0, findings }
}

async function probe(
  parts: WorkerParts,
  id: InstanceId,
  log: Logger,
  signal: AbortSignal,
): Promise<Probed> {
  try {
    const { engine } = postgresOf(parts)
    const { running, findings } = await engine.probe(await parts.sourceOf(id), signal)
    return { status: running ? 'Running' : 'Stopped', findings }
  } catch (error) {
    signal.throwIfAborted()
    log.warn('probe failed', { instanceId: id, error: describeError(error) })
    return { status: 'Stopped', findings: [] }
  }
}
