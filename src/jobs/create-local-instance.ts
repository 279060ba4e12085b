import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { describeWithAdvice, Fault, invariant, isFault } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import { Secret } from '../base/secret.ts'
import {
  findInstance,
  lockInstance,
  removeInstance,
  setInstanceStatus,
} from '../catalogue/instances.ts'
import { countFailure } from '../catalogue/jobs.ts'
import type { LocalServerRecord } from '../catalogue/local-servers.ts'
import { insertLocalServer, localServersOf, moveLocalServer } from '../catalogue/local-servers.ts'
import type { LocalEngine } from '../engines/engine.ts'
import { type Job, postgresOf, type Run, type WorkerParts } from './job.ts'
import { endpointOf, planOf } from './local-servers.ts'

const FAILURES_MAX = 3
const SUPERUSER = 'postgres'
const READY_TRIES_MAX = 120
const READY_PAUSE_MS = 250

/**
 * Makes the servers of a local instance: a primary and, for HighAvailability, a streaming standby.
 * Ports and passwords are on record before anything is made with them, so a killed run goes on.
 * When it cannot be done nothing of the instance is left.
 */
export const createLocalInstance: Job<'create-local-instance'> = async (
  _parameters,
  run,
  parts,
) => {
  const { local } = postgresOf(parts)
  invariant(local, 'PostgreSQL runs locally')
  try {
    await createServers(local, run, parts)
    await run.end({ state: 'finished' }, async (tx) => {
      const found = await lockInstance(tx, run.instanceId)
      // Its removal may have been asked for meanwhile.
      if (found?.instance.status !== 'Creating') return
      await setInstanceStatus(tx, run.instanceId, 'Running')
    })
  } catch (error) {
    if (run.signal.aborted || isFault(error, 'superseded')) throw error
    const failures = await run.transaction((tx) => countFailure(tx, run.attempt))
    // A port that someone else took meanwhile: the next try is on others.
    if (isFault(error, 'exists')) await movePorts(run, parts)
    if (failures < FAILURES_MAX && !isFault(error, 'unfit', 'no-space')) throw error
    run.log.error('instance could not be created', { cause: describeWithAdvice(error) })
    await removeServers(local, run, parts)
  }
}

async function createServers(local: LocalEngine, run: Run, parts: WorkerParts): Promise<void> {
  const { version, servers } = await planServers(run, parts)
  const primary = servers.find((server) => server.role === 'primary')
  invariant(primary, 'every instance has a primary')
  // A killed worker may have begun it in the data folder of another host.
  if (!(await parts.localServers.isOwn(primary.directory))) {
    throw new Fault(
      'unfit',
      `${primary.directory}, begun by another process, is not in this folder`,
    )
  }
  for (const server of servers) {
    const plan = planOf(server, primary.port, version, parts.sealer)
    run.report(`creating ${server.role}`)
    if (server.role === 'primary') {
      await local.createPrimary(plan, run.signal)
    } else {
      const scratch = join(parts.scratchDirectory, `standby-${run.instanceId}`)
      await local.createStandby(plan, endpointOf(primary, parts.sealer), scratch, run.signal)
      await rm(scratch, { recursive: true, force: true })
    }
    await parts.localServers.ensureRunning(plan, run.signal)
  }
  await waitUntilReady(run, parts)
}

/** Also waits until the standby streams, so that the first backup can come from it. */
async function waitUntilReady(run: Run, parts: WorkerParts): Promise<void> {
  const { engine } = postgresOf(parts)
  const source = await parts.sourceOf(run.instanceId)
  for (let tries = 0; ; tries += 1) {
    const { running, findings } = await engine.probe(source, run.signal)
    if (running && findings.length === 0) return
    if (tries >= READY_TRIES_MAX) {
      throw new Fault('transient', `the new instance is not ready: ${findings.join('; ')}`)
    }
    await pause(READY_PAUSE_MS, run.signal)
  }
}

async function planServers(
  run: Run,
  parts: WorkerParts,
): Promise<{ version: string; servers: readonly LocalServerRecord[] }> {
  const ports = await parts.freePorts(2)
  return run.transaction(async (tx) => {
    await lockInstance(tx, run.instanceId)
    const found = await findInstance(tx, run.instanceId)
    invariant(found, 'the instance of a job exists')
    const { category, engineVersion } = found.instance
    const password = parts.sealer.seal(new Secret(randomName(32)))
    const roles =
      category === 'HighAvailability' ? (['primary', 'standby'] as const) : ['primary' as const]
    for (const [index, role] of roles.entries()) {
      const node = `${run.instanceId}-${index + 1}`
      await insertLocalServer(tx, {
        instanceId: run.instanceId,
        role,
        node,
        directory: join(parts.instancesDirectory, node),
        port: ports[index] ?? 0,
        userName: SUPERUSER,
        passwordSealed: password,
      })
    }
    return { version: engineVersion, servers: await localServersOf(tx, run.instanceId) }
  })
}

async function movePorts(run: Run, parts: WorkerParts): Promise<void> {
  const servers = await run.transaction((tx) => localServersOf(tx, run.instanceId))
  const ports = await parts.freePorts(servers.length)
  for (const [index, { node }] of servers.entries()) {
    await parts.localServers.stop(node)
    await run.transaction((tx) => moveLocalServer(tx, node, ports[index] ?? 0))
  }
}

async function removeServers(local: LocalEngine, run: Run, parts: WorkerParts): Promise<void> {
  const servers = await run.transaction((tx) => localServersOf(tx, run.instanceId))
  for (const server of [...servers].reverse()) {
    await parts.localServers.stop(server.node)
    const { directory } = server
    if (await parts.localServers.isOwn(directory)) await local.remove(directory)
  }
  // The job's row goes with the instance: that is its end.
  await run.transaction((tx) => removeInstance(tx, run.instanceId))
}
