import { describeError, Fault, isFault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import { endAttachTask } from '../catalogue/attach-tasks.ts'
import type { Transaction } from '../catalogue/database.ts'
import {
  finishAttaching,
  instancesOfCluster,
  lockInstance,
  removeInstance,
} from '../catalogue/instances.ts'
import { countFailure } from '../catalogue/jobs.ts'
import type { ServerProblem } from '../domain/attaching.ts'
import type { ClusterFacts, Inspection } from '../engines/engine.ts'
import { type Job, postgresOf, type Run, type WorkerParts } from './job.ts'

const FAILURES_MAX = 3

/**
 * Looks at the servers of an instance that is to be attached. It becomes Running when nothing stands
 * in the way; otherwise its problems are noted for whoever asked, and nothing else of it is left, no
 * address and no password.
 */
export const attachInstance: Job<'attach-instance'> = async (_parameters, run, parts) => {
  run.report('inspecting')
  const { problems, facts } = await inspect(run, parts)
  if (problems.length > 0 || facts === null) return refuse(run, problems)
  let taken: readonly ServerProblem[] = []
  try {
    await run.end({ state: 'finished' }, async (tx) => {
      const found = await lockInstance(tx, run.instanceId)
      if (found?.instance.masterId === null) taken = await takenBy(tx, run.instanceId, facts)
      if (taken.length > 0) throw new Fault('exists', 'the cluster is attached already')
      const version = facts.majorVersion
      if (await finishAttaching(tx, run.instanceId, { ...facts, version })) {
        await endAttachTask(tx, run.instanceId, 'finished', [])
      } else {
        await endAttachTask(tx, run.instanceId, 'refused', [REMOVED])
      }
    })
  } catch (error) {
    if (taken.length === 0) throw error
    return refuse(run, taken)
  }
  run.log.info('instance attached', { ...facts })
}

const REMOVED: ServerProblem = {
  server: 'all servers',
  problem: 'the removal of the instance was asked for meanwhile',
  advice: 'attach it again',
}

/** An inspection that itself fails again and again is a problem like any other. */
async function inspect(run: Run, parts: WorkerParts): Promise<Inspection> {
  try {
    const source = await parts.sourceOf(run.instanceId)
    return await postgresOf(parts).engine.inspect(source, run.signal)
  } catch (error) {
    if (run.signal.aborted || isFault(error, 'superseded')) throw error
    const failures = await run.transaction((tx) => countFailure(tx, run.attempt))
    if (failures < FAILURES_MAX) throw error
    const problem = describeError(error)
    const advice = "see the service's log"
    return { problems: [{ server: 'all servers', problem, advice }], facts: null }
  }
}

/** Two instances of one cluster would be the same data twice, under rules that contradict. */
async function takenBy(
  tx: Transaction,
  instanceId: InstanceId,
  { systemIdentifier }: ClusterFacts,
): Promise<readonly ServerProblem[]> {
  const others = await instancesOfCluster(tx, systemIdentifier)
  return others
    .filter((id) => id !== instanceId)
    .map((id) => ({
      server: 'all servers',
      problem: `the cluster ${systemIdentifier} is attached already, as ${id}`,
      advice: `detach ${id} first, or attach a standby of it with --type Readonly|Guard --of ${id}`,
    }))
}

/** Only what never was an instance goes: one whose removal was asked for ends by that job. */
async function refuse(run: Run, problems: readonly ServerProblem[]): Promise<void> {
  await run.end({ state: 'failed', cause: 'the servers cannot be attached yet' }, async (tx) => {
    const found = await lockInstance(tx, run.instanceId)
    await endAttachTask(tx, run.instanceId, 'refused', problems)
    // The job's row goes with the instance.
    if (found?.instance.status === 'Creating') await removeInstance(tx, run.instanceId)
  })
  run.log.warn('instance not attached', { problems })
}
