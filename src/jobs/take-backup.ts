import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { describeWithAdvice, Fault, isFault } from '../base/fault.ts'
import { recordEvent } from '../catalogue/events.ts'
import { lockInstance } from '../catalogue/instances.ts'
import { countFailure, noteCause } from '../catalogue/jobs.ts'
import { runHolding } from '../catalogue/leases.ts'
import { beginSet, failSet, recordSealed } from '../catalogue/series.ts'
import type { BackupPolicy } from '../domain/instance.ts'
import type {
  BackupOptions,
  BackupStream,
  Engine,
  SetDescription,
  Source,
} from '../engines/engine.ts'
import type { SetWriter } from '../repository/repository.ts'
import type { NewSet, SealedSet } from '../series/series.ts'
import { tellDamage } from './damage.ts'
import { type Job, postgresOf, type Run, type WorkerParts } from './job.ts'
import { removeAbandoned } from './purge-sets.ts'

/** A backup that fails for a reason that may pass by itself is begun anew this often. */
const FAILURES_MAX = 3
/** The cause of a run that was cancelled; also what tells it from one that failed. */
const CANCELLED = 'cancelled on request'
const RUNNING_WAIT_MS = 60_000
const RUNNING_PAUSE_MS = 500

/**
 * One backup set, from the server's stream to the transaction that makes it exist. What fails or is
 * cancelled leaves a failed run with its cause and no bytes: cause noted, objects removed, job
 * ended, in that order, so that a process killed in between goes on where it stopped.
 */
export const takeBackup: Job<'take-backup'> = async ({ mode }, run, parts) => {
  if (run.cause !== null) return cleanUp(run, parts, run.cause)
  const { set, pace } = await run.transaction(async (tx) => {
    const found = await lockInstance(tx, run.instanceId)
    return {
      set: await beginSet(tx, run.instanceId, run.attempt, mode, parts.clock.now()),
      pace: paceOf(mode, found?.policy ?? null),
    }
  })
  try {
    await removeAbandoned(run, parts, run.signal)
    await writeSet(set, pace, run, parts)
  } catch (error) {
    const cause = await causeOfFailure(error, run)
    await run.transaction(async (tx) => {
      await lockInstance(tx, run.instanceId)
      await failSet(tx, set, cause, parts.clock.now())
      await noteCause(tx, run.attempt, cause)
      if (isFault(error, 'corrupt'))
        await tellDamage(tx, 'a backup', run.instanceId, run.instanceId, error)
    })
    await cleanUp(run, parts, cause)
  }
}

/** How gently the server is treated. */
type Pace = Pick<BackupOptions, 'maxRateKib' | 'checkpoint'>

/** By hand someone waits for the set; a scheduled backup lets the server take its time. */
function paceOf(mode: 'Manual' | 'Automated', policy: BackupPolicy | null): Pace {
  const checkpoint = mode === 'Manual' ? 'fast' : 'spread'
  return { maxRateKib: policy?.maxRateKib ?? null, checkpoint }
}

/** Rethrows what is no failure of this backup: a stop, a takeover, or what is worth another try. */
async function causeOfFailure(error: unknown, run: Run): Promise<string> {
  const reason: unknown = run.signal.aborted ? run.signal.reason : null
  if (isFault(error, 'superseded')) throw error
  if (isFault(reason, 'cancelled')) return CANCELLED
  if (reason !== null) throw reason
  if (isFault(error, 'transient')) {
    const failures = await run.transaction((tx) => countFailure(tx, run.attempt))
    if (failures < FAILURES_MAX) throw error
  }
  return describeWithAdvice(error)
}

async function cleanUp(run: Run, parts: WorkerParts, cause: string): Promise<void> {
  run.report('cleaning up')
  await rm(scratchOf(run, parts), { recursive: true, force: true })
  await removeAbandoned(run, parts, run.lastingSignal)
  const state = cause === CANCELLED ? 'cancelled' : 'failed'
  await run.end({ state, cause }, async (tx) => {
    if (state === 'cancelled') return
    await recordEvent(tx, { kind: 'backup-failed', instanceId: run.instanceId, details: { cause } })
  })
  run.log.warn('backup failed', { cause })
}

/**
 * After a start of the service a local instance's servers come up one by one, and a job taken up
 * again must not fail for that. What is still not running afterwards fails by itself.
 */
async function awaitSource(engine: Engine, run: Run, parts: WorkerParts): Promise<Source> {
  for (let waitedMs = 0; ; waitedMs += RUNNING_PAUSE_MS) {
    // Asked for each time: a server may have moved to another port.
    const source = await parts.sourceOf(run.instanceId)
    if (waitedMs >= RUNNING_WAIT_MS) return source
    if ((await engine.probe(source, run.signal)).running) return source
    await pause(RUNNING_PAUSE_MS, run.signal)
  }
}

function scratchOf(run: Run, parts: WorkerParts): string {
  return join(parts.scratchDirectory, `backup-${run.instanceId}`)
}

async function writeSet(set: NewSet, pace: Pace, run: Run, parts: WorkerParts): Promise<void> {
  const scratchDirectory = scratchOf(run, parts)
  await rm(scratchDirectory, { recursive: true, force: true })
  await mkdir(scratchDirectory, { recursive: true, mode: 0o700 })
  try {
    run.report('preparing')
    const source = await awaitSource(postgresOf(parts).engine, run, parts)
    const options = { ...pace, scratchDirectory, label: `holdfast ${set.setId}` }
    await runHolding(
      parts.catalogue,
      hostsOf(source),
      async (signal) => {
        // The wait may have been long, and the primary may have moved meanwhile.
        const present = await parts.sourceOf(run.instanceId)
        return copySet(set, present, options, { ...run, signal }, parts)
      },
      (lease) => run.report(`waiting for ${lease}`),
      run.signal,
    )
  } finally {
    await rm(scratchDirectory, { recursive: true, force: true })
  }
}

/** One backup at a time for each database host, which is known by the name it was attached by. */
function hostsOf({ endpoints }: Source): readonly string[] {
  const loopback = /^(\/.*|localhost|::1|127\..*)$/
  return endpoints.map(
    ({ host }) => `backup of ${loopback.test(host) ? 'localhost' : host.toLowerCase()}`,
  )
}

async function copySet(
  set: NewSet,
  source: Source,
  options: BackupOptions,
  run: Run,
  parts: WorkerParts,
): Promise<void> {
  await using stream = await postgresOf(parts).engine.openBackup(source, options, run.signal)
  await using writer = await parts.repository.writeSet(set, run.signal)
  const { findings } = stream
  if (findings.length > 0) run.log.warn('standby passed over', { findings })
  const description = await copyEntries(stream, writer, run)
  run.report('checking', writer.progress.contentBytes, stream.estimatedBytes)
  const sealed = await writer.seal(Buffer.from(JSON.stringify(description)), run.signal)
  await record(sealed, description, run, parts)
}

async function copyEntries(
  stream: BackupStream,
  writer: SetWriter,
  run: Run,
): Promise<SetDescription> {
  for await (const entry of stream.entries) {
    run.signal.throwIfAborted()
    await writer.add(entry, run.signal)
    run.report('uploading', writer.progress.contentBytes, stream.estimatedBytes)
  }
  return stream.finish(run.signal)
}

async function record(
  sealed: SealedSet,
  description: SetDescription,
  run: Run,
  parts: WorkerParts,
): Promise<void> {
  const finishedAt = parts.clock.now()
  await run.end({ state: 'finished' }, async (tx) => {
    const found = await lockInstance(tx, run.instanceId)
    if (!found) throw new Fault('not-found', `instance ${run.instanceId} is gone`)
    await recordSealed(tx, sealed, {
      finishedAt,
      consistentAt: description.consistentAt,
      node: description.node,
      engineVersion: description.engineState.serverVersion,
    })
    const details = { backupId: sealed.stored.setId, contentBytes: sealed.contentBytes }
    await recordEvent(tx, { kind: 'backup-finished', instanceId: run.instanceId, details })
  })
  run.log.info('backup finished', {
    backupId: sealed.stored.setId,
    node: description.node,
    contentBytes: sealed.contentBytes,
    newBytes: sealed.newBytes,
  })
}
