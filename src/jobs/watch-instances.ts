import { rest } from '../base/clock.ts'
import { describeError } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { movePrimary, noteTimeline } from '../catalogue/attached-servers.ts'
import { recordEvent } from '../catalogue/events.ts'
import { listInstances, lockLiveInstance, setInstanceStatus } from '../catalogue/instances.ts'
import type { Instance, InstanceStatus } from '../domain/instance.ts'
import type { ProbeResult } from '../engines/engine.ts'
import { postgresOf, type WorkerParts } from './job.ts'
import { noteProbe } from './watch-standbys.ts'

const WATCH_MS = 10_000
/** Probes in a row that must fail before an instance counts as lost; one that succeeds ends that. */
const FAILURES_TO_STOP = 3

/** What the probes of an instance have shown so far. */
interface Seen {
  readonly failures: number
  readonly findings: string
}

const NOTHING_SEEN: Seen = { failures: 0, findings: '' }

/**
 * The duty: asks every instance's servers every ten seconds, all instances at once, and keeps status
 * and roles as they really are. Running = the primary answers SQL and is not in recovery. A standby
 * that is lost is a finding, told once. A primary that moved to a known standby is followed.
 */
export async function watchInstances(
  parts: WorkerParts,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  let seen = new Map<InstanceId, Seen>()
  while (!signal.aborted) {
    const instances = await parts.catalogue.transaction(listInstances)
    const watched = instances
      .map(({ instance }) => instance)
      .filter(({ status }) => status === 'Running' || status === 'Stopped')
    const next = await Promise.all(
      watched.map(async (instance) => {
        const before = seen.get(instance.id) ?? NOTHING_SEEN
        return [instance.id, await watchSafely(parts, log, instance, before, signal)] as const
      }),
    )
    seen = new Map(next)
    await rest(WATCH_MS, signal)
  }
}

/** What goes wrong with one instance must not end the round of the others. */
async function watchSafely(
  parts: WorkerParts,
  log: Logger,
  instance: Instance,
  before: Seen,
  signal: AbortSignal,
): Promise<Seen> {
  try {
    return await watchOne(parts, log, instance, before, signal)
  } catch (error) {
    signal.throwIfAborted()
    log.error('watching failed', { instanceId: instance.id, error: describeError(error) })
    return before
  }
}

async function watchOne(
  parts: WorkerParts,
  log: Logger,
  instance: Instance,
  before: Seen,
  signal: AbortSignal,
): Promise<Seen> {
  const probed = await probe(parts, instance, log, signal)
  const findings = probed.findings.join('; ')
  if (findings !== before.findings) {
    const told = { instanceId: instance.id, findings: findings || 'as it should be' }
    log.warn('instance probed', told)
  }
  await keepTimeline(parts, instance, probed)
  await noteProbe(parts.catalogue, instance, probed, log)
  const failed = isRunning(instance, probed) ? 0 : before.failures + 1
  const moved = failed >= FAILURES_TO_STOP && (await follow(parts, log, instance, probed))
  const runs = moved || failed === 0
  const failures = runs ? 0 : failed
  if (runs) await changeStatus(parts, log, instance, 'Running', findings)
  else if (failures >= FAILURES_TO_STOP)
    await changeStatus(parts, log, instance, 'Stopped', findings)
  return { failures, findings }
}

/** Failovers that came and went while nobody looked count too: later claims are held to them. */
async function keepTimeline(
  { catalogue }: WorkerParts,
  { id, timeline, masterId }: Instance,
  { running, primary }: ProbeResult,
): Promise<void> {
  if (!running || primary === null || masterId !== null || timeline === null) return
  if (primary.timeline <= timeline) return
  await catalogue.transaction(async (tx) => {
    await lockLiveInstance(tx, id)
    await noteTimeline(tx, id, primary.timeline)
  })
}

/** A follower runs when it can be read from: its one server is a standby of a primary that runs. */
function isRunning({ masterId }: Instance, { running, findings }: ProbeResult): boolean {
  return masterId === null ? running : running && findings.length === 0
}

/**
 * The primary is another server of the instance now, on a later timeline: from here on backups,
 * probes and addresses go by that. Roles of local servers are this service's own doing, and
 * followers have no primary.
 */
async function follow(
  { catalogue }: WorkerParts,
  log: Logger,
  { id, origin, masterId }: Instance,
  { running, primary }: ProbeResult,
): Promise<boolean> {
  if (running || primary === null || origin !== 'attached' || masterId !== null) return false
  const moved = await catalogue.transaction(async (tx) => {
    await lockLiveInstance(tx, id)
    if (!(await movePrimary(tx, id, primary.node, primary.timeline))) return false
    await recordEvent(tx, { kind: 'primary-moved', instanceId: id, details: { ...primary } })
    return true
  })
  if (moved) log.warn('primary moved', { instanceId: id, ...primary })
  return moved
}

async function changeStatus(
  { catalogue }: WorkerParts,
  log: Logger,
  { id, status: before }: Instance,
  status: InstanceStatus,
  findings: string,
): Promise<void> {
  if (status === before) return
  const changed = await catalogue.transaction(async (tx) => {
    const found = await lockLiveInstance(tx, id)
    // Somebody may have asked for its removal meanwhile.
    if (found?.instance.status !== before) return false
    await setInstanceStatus(tx, id, status)
    const kind = status === 'Running' ? 'instance-back' : 'instance-lost'
    await recordEvent(tx, {
      kind,
      instanceId: id,
      details: { findings: findings || 'the probe failed' },
    })
    return true
  })
  if (changed) log.warn('instance status changed', { instanceId: id, status })
}

async function probe(
  parts: WorkerParts,
  { id }: Instance,
  log: Logger,
  signal: AbortSignal,
): Promise<ProbeResult> {
  try {
    return await postgresOf(parts).engine.probe(await parts.sourceOf(id), signal)
  } catch (error) {
    signal.throwIfAborted()
    log.warn('probe failed', { instanceId: id, error: describeError(error) })
    return { running: false, primary: null, findings: [] }
  }
}
