import { Secret } from '../base/secret.ts'
import type { DemoFolder } from './demo-folder.ts'
import type { Report } from './report.ts'
import { runCommand, type ServiceProcess } from './service-process.ts'
import { describeInstance, type SignedApi } from './signed-api.ts'
import type { Scale } from './workload.ts'

/** What every part of the demonstration works with. */
export interface Stage {
  readonly report: Report
  readonly scale: Scale
  readonly folder: DemoFolder
  readonly service: ServiceProcess
  readonly api: SignedApi
  readonly signal: AbortSignal
}

/** The instances: the pair is what is backed up, the Basic one is what a rule refuses. */
export interface Instances {
  readonly pair: string
  readonly basic: string
  /** The URL of the pair's primary, password included. */
  readonly url: Secret<string>
}

/** Runs `holdfast <words>` as an operator of this service would. */
export async function operate(stage: Stage, words: readonly string[]): Promise<string> {
  return await runCommand(words, stage.service.setup, stage.folder, stage.signal)
}

/** Moves the development clock on. */
export async function advanceClock(stage: Stage, span: string): Promise<void> {
  await operate(stage, ['clock', 'advance', span])
}

/** The URL of an instance's primary, password included. */
export async function connectionUrl(stage: Stage, instanceId: string): Promise<Secret<string>> {
  return new Secret((await operate(stage, ['instance', 'connect', instanceId])).trim())
}

/** Bytes that the catalogue counts for all instances together. */
export async function catalogueBytes(stage: Stage, instances: Instances): Promise<number> {
  const { api } = stage
  const shown = await Promise.all(
    [instances.pair, instances.basic].map((id) => describeInstance(api, id)),
  )
  return shown.reduce((total, attributes) => total + Number(attributes['BackupStoredBytes']), 0)
}
