import { describeError, Fault, invariant } from '../base/fault.ts'
import { createInstances } from './create-instances.ts'
import { deleteAcrossKill, deleteUndisturbed } from './delete-sets.ts'
import { DemoFolder } from './demo-folder.ts'
import { explainKept } from './keep-running.ts'
import { createReport, mebibytes, type Report } from './report.ts'
import { restoreSets } from './restore-sets.ts'
import { lastComplaints } from './service-log.ts'
import { planService, ServiceProcess } from './service-process.ts'
import { showRefusals } from './show-refusals.ts'
import { createSignedApi } from './signed-api.ts'
import { advanceClock, type Instances, type Stage } from './stage.ts'
import { checkSets, showSets, takeBasicSet, takeSets } from './take-sets.ts'
import { SCALES } from './workload.ts'

export interface DemoOptions {
  readonly size: 'small' | 'full'
  /** Leaves everything running after success. */
  readonly keep: boolean
  /** The user of database servers when this process is root; null: none was chosen. */
  readonly serverUser: string | null
}

/**
 * Shows the service at work from outside, on real servers in a temporary folder. Gives 0 only if
 * every check held. Everything is stopped and removed at the end, however it ends.
 */
export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<number> {
  const report = createReport(process.stdout)
  const serverUser = chooseServerUser(options.serverUser, report)
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await DemoFolder.make())
  const setup = await planService(folder, serverUser)
  const service = stack.use(new ServiceProcess(setup, folder))
  report.line(`Holdfast, the demonstration (${options.size}). Everything lies in ${folder.path}`)
  const api = createSignedApi(setup, signal)
  const stage: Stage = { report, scale: SCALES[options.size], folder, service, api, signal }
  const started = performance.now()
  try {
    const { instances, kept } = await runParts(stage)
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    const held = report.checks - report.failures
    report.line()
    report.line(`${held} of ${report.checks} checks held, in ${seconds} s.`)
    if (report.failures > 0) await showComplaints(stage)
    else if (options.keep) {
      explainKept(stage, instances, kept)
      stack.move()
      await folder.leaveBehind()
    }
  } catch (error) {
    signal.throwIfAborted()
    report.check(false, describeError(error))
    if (error instanceof Fault && error.hint) report.line(error.hint)
    await showComplaints(stage)
  }
  if (!stack.disposed) report.line('Stopping and removing everything.')
  return report.failures === 0 ? 0 : 1
}

/** The script of it; gives the instances and a kept set that may be deleted. */
async function runParts(stage: Stage): Promise<{ instances: Instances; kept: string }> {
  const { report, service, signal, scale } = stage
  report.part('A service, a PostgreSQL pair, a Basic instance')
  report.progress('starting the service')
  await service.start(signal)
  report.line(`holdfast serve --development-clock at ${service.setup.endpoint}, pid ${service.pid}`)
  const instances = await createInstances(stage)

  report.part('Five backup sets, a day apart')
  const taken = await takeSets(stage, instances)
  const [first, second, third, , fifth] = taken.map((set) => set.id)
  invariant(first && second && third && fifth, 'five sets were taken')
  const basicSet = await takeBasicSet(stage, instances.basic)
  await checkSets(stage, instances)
  await showSets(stage, instances, [])

  report.part('Day 7.5: three deletions that are refused')
  await advanceClock(stage, '3d12h')
  await showRefusals(stage, instances, { eligible: first, young: fifth, basicSet })

  report.part('Day 9.5: a set from the middle is deleted')
  await advanceClock(stage, '2d')
  await showSets(stage, instances, [first, second, third])
  const freedByMiddle = await deleteUndisturbed(stage, instances, third)

  report.part('The oldest set is deleted, and the service killed meanwhile')
  const freed = freedByMiddle + (await deleteAcrossKill(stage, instances, first))
  report.check(
    freed >= scale.freedBytesMin,
    `${mebibytes(freed)} came back in all (at least ${mebibytes(scale.freedBytesMin)})`,
  )
  await showSets(stage, instances, [second])

  report.part('Every kept set is restored and a server started on it')
  const kept = taken.filter((set) => set.id !== first && set.id !== third)
  await restoreSets(stage, instances, kept)
  return { instances, kept: second }
}

/** PostgreSQL refuses to run as root. */
function chooseServerUser(chosen: string | null, report: Report): string | null {
  if (chosen !== null || process.getuid?.() !== 0) return chosen
  report.line('Started as root: database servers run as the user nobody.')
  return 'nobody'
}

async function showComplaints(stage: Stage): Promise<void> {
  const lines = await lastComplaints(stage.service.setup.logFile, 8)
  if (lines.length === 0) return
  stage.report.line("The service's last warnings and errors:")
  for (const line of lines) stage.report.quote(line)
}
