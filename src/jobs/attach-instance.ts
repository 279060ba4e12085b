import { describeError, isFault } from '../base/fault.ts'
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
import type { ClusterFacts, Inspection, Source } from '../engines/engine.ts'
import { type Job, postgresOf, type Run } from './job.ts'

const FAILURES_MAX = 3

/**
 * Looks at the servers of an instance that is to be attached. It becomes Running when nothing stands
 * in the way; otherwise its problems are noted for whoever asked, and nothing else of it is left, no
 * address and no password.
 */
export const attachInstance: Job<'attach-instance'> = async (_parameters, run, parts) => {
  run.report('inspecting')
  const source = await parts.sourceOf(run.instanceId)
  const { problems, facts } = await inspect(source, run, () =>
    postgresOf(parts).engine.inspect(source, run.signal),
  )
  if (problems.length > 0 || facts === null) return refuse(run, problems)
  const late = await run.transaction(async (tx) => {
    const found = await lockInstance(tx, run.instanceId)
    const taken = found?.instance.masterId === null ? await takenBy(tx, source, facts) : []
    if (taken.length > 0) return taken
    await finishAttaching(tx, run.instanceId, { ...facts, version: facts.majorVersion })
    await endAttachTask(tx, run.instanceId, 'finished', [])
    return []
  })
  if (late.length > 0) return refuse(run, late)
  await run.end({ state: 'finished' }, async () => {})
  run.log.info('instance attached', { ...facts })
}

/** An inspection that itself fails again and again is a problem like any other. */
async function inspect(
  source: Source,
  run: Run,
  look: () => Promise<Inspection>,
): Promise<Inspection> {
  try {
    return await look()
  } catch (error) {
    if (run.signal.aborted || isFault(error, 'superseded')) throw error
    const failures = await run.transaction((tx) => countFailure(tx, run.attempt))
    if (failures < FAILURES_MAX) throw error
    const advice = "see the service's log"
    return {
      problems: [{ server: namesOf(source), problem: describeError(error), advice }],
      facts: null,
    }
  }
}

/** Two instances of one cluster would be the same data twice, under rules that contradict. */
async function takenBy(
  tx: Transaction,
  source: Source,
  { systemIdentifier }: ClusterFacts,
): Promise<readonly ServerProblem[]> {
  const others = await instancesOfCluster(tx, systemIdentifier)
  return others.map((id) => ({
    server: namesOf(source),
    problem: `the cluster ${systemIdentifier} is attached already, as ${id}`,
    advice: `detach ${id} first, or attach a standby of it with --type Readonly|Guard --of ${id}`,
  }))
}

async function refuse(run: Run, problems: readonly ServerProblem[]): Promise<void> {
  // The job's row goes with the instance: that is its end.
  await run.transaction(async (tx) => {
    await lockInstance(tx, run.instanceId)
    await endAttachTask(tx, run.instanceId, 'refused', problems)
    await removeInstance(tx, run.instanceId)
  })
  run.log.warn('instance not attached', { problems })
}

function namesOf({ endpoints }: Source): string {
  return endpoints.map(({ host, port }) => `${host}:${port}`).join(', ')
}
