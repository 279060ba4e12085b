import { randomInt } from 'node:crypto'
import { pause } from '../base/clock.ts'
import { sizeOfFiles } from '../base/folder-size.ts'
import { type DeletionClient, openDeletionClient } from './official-sdk.ts'
import { exactBytes, mebibytes } from './report.ts'
import { awaitLogLine, endOfLog } from './service-log.ts'
import { type Preview, previewDeletion } from './signed-api.ts'
import { catalogueBytes, type Instances, operate, type Stage } from './stage.ts'
import { purgeSet, undeleteSet } from './undelete-sets.ts'

const RECLAIM_TIMEOUT_MS = 120_000
/** The kill comes this long after the purge was decided, at most. */
const KILL_DELAY_MAX_MS = 20

/** Bytes by two independent counts. */
interface Count {
  readonly catalogue: number
  readonly fileSystem: number
}

/** A deletion that was accepted, and what was so before it. */
interface Deletion {
  readonly client: DeletionClient
  readonly preview: Preview
  readonly before: Count
  /** Where the log ended. */
  readonly from: number
}

/** Deletes one set, brings it back, deletes it for good; gives the bytes that came back. */
export async function deleteUndisturbed(
  stage: Stage,
  instances: Instances,
  setId: string,
): Promise<number> {
  const { client, preview, before } = await beginDeletion(stage, instances, setId)
  await undeleteSet(stage, instances, setId)
  await deleteSet(stage, client, instances, setId)
  const from = await endOfLog(stage.service.setup.logFile)
  await purgeSet(stage, instances, setId)
  stage.report.progress('waiting for the reclaim')
  await reclaimFinished(stage, setId, from)
  const freed = compare(stage, preview, before, await countBytes(stage, instances))
  await deleteAgain(stage, client, instances, setId)
  return freed
}

/** The same with a `kill -9` of the service while the bytes come back, and a new start. */
export async function deleteAcrossKill(
  stage: Stage,
  instances: Instances,
  setId: string,
): Promise<number> {
  const { report, service, signal } = stage
  const { client, preview, before, from } = await beginDeletion(stage, instances, setId)
  await purgeSet(stage, instances, setId)
  await logged(stage, 'purge decided', setId, from)
  await pause(randomInt(KILL_DELAY_MAX_MS + 1), signal)
  await service.kill()
  const shrunk = before.fileSystem - (await sizeOfFiles(service.setup.storageDirectory))
  report.line(`kill -9 of the service while it reclaims: ${describeShrinking(shrunk, preview)}`)
  report.progress('starting the service again')
  await service.start(signal)
  await reclaimFinished(stage, setId, from)
  report.line('started again; the reclaim went on by itself')
  const freed = compare(stage, preview, before, await countBytes(stage, instances))
  await deleteAgain(stage, client, instances, setId)
  await verify(stage)
  return freed
}

async function beginDeletion(stage: Stage, instances: Instances, setId: string): Promise<Deletion> {
  const { service, signal } = stage
  const client = await openDeletionClient(service.setup, signal)
  const preview = await showPreview(stage, instances, setId)
  const before = await countBytes(stage, instances)
  const from = await endOfLog(service.setup.logFile)
  await deleteSet(stage, client, instances, setId)
  return { client, preview, before, from }
}

function describeShrinking(shrunk: number, { freedBytes }: Preview): string {
  if (shrunk >= freedBytes) return 'too late to interrupt it this time, all bytes were back'
  if (shrunk >= 0) return `${exactBytes(shrunk)} of ${exactBytes(freedBytes)} were back`
  // A pack that is rewritten is there twice until the old one goes.
  return `no byte was back, ${exactBytes(-shrunk)} of a smaller pack were written`
}

async function showPreview(stage: Stage, { pair }: Instances, setId: string): Promise<Preview> {
  const { report, api } = stage
  const preview = await previewDeletion(api, pair, [setId])
  const { Deletable, Evidence } = preview.sets[0] ?? {}
  report.line(`PreviewDeleteBackup of set ${setId}: Deletable ${Deletable}, ${Evidence}`)
  report.line(
    `  releases ${exactBytes(preview.releasedBytes)}, frees ${exactBytes(preview.freedBytes)}, ` +
      `${preview.remainingCount} sets remain`,
  )
  if (preview.freedBytes < preview.releasedBytes) {
    report.line('  (the rest lies in packs of which more than half is in use)')
  }
  report.check(preview.deletable, 'the preview allows it')
  return preview
}

async function deleteSet(
  stage: Stage,
  client: DeletionClient,
  { pair }: Instances,
  setId: string,
): Promise<void> {
  const { status, code, requestId } = await client.deleteBackup(pair, [setId])
  stage.report.check(
    status === 200 && code === null,
    `DeleteBackup of set ${setId} with ${client.name}: HTTP ${status}, RequestId ${requestId}`,
  )
}

async function deleteAgain(
  stage: Stage,
  client: DeletionClient,
  { pair }: Instances,
  setId: string,
): Promise<void> {
  const { status, code } = await client.deleteBackup(pair, [setId])
  stage.report.check(
    status === 404 && code === 'InvalidBackupSetID.NotFound',
    `the same again: HTTP ${status}, ${code}`,
  )
}

/** Predicted = what the catalogue no longer counts = what is gone from the file system. */
function compare(stage: Stage, preview: Preview, before: Count, after: Count): number {
  const { report } = stage
  const byCatalogue = before.catalogue - after.catalogue
  const byFileSystem = before.fileSystem - after.fileSystem
  report.table([
    ['predicted', exactBytes(preview.freedBytes)],
    ['by the catalogue', exactBytes(byCatalogue)],
    ['by the file system (Σ st_size)', exactBytes(byFileSystem)],
  ])
  report.check(
    preview.freedBytes === byCatalogue && byCatalogue === byFileSystem,
    `all three are equal, ${mebibytes(byFileSystem)} came back`,
  )
  return byFileSystem
}

async function countBytes(stage: Stage, instances: Instances): Promise<Count> {
  return {
    catalogue: await catalogueBytes(stage, instances),
    fileSystem: await sizeOfFiles(stage.service.setup.storageDirectory),
  }
}

async function verify(stage: Stage): Promise<void> {
  const { report } = stage
  report.progress('holdfast verify')
  // It exits with 1, and is a failure, when anything differs.
  const found = JSON.parse(await operate(stage, ['verify'])) as Record<string, number>
  report.check(
    found['catalogueBytes'] === found['storageBytes'],
    `holdfast verify: ${found['sets']} sets, ${found['objects']} objects, ` +
      `${exactBytes(found['storageBytes'] ?? 0)} in the catalogue and on disk, no problems`,
  )
}

async function reclaimFinished(stage: Stage, setId: string, from: number): Promise<void> {
  await logged(stage, 'reclaim finished', setId, from)
}

/** The service's log tells what it does; nothing here decides whether it was right. */
async function logged(stage: Stage, message: string, setId: string, from: number): Promise<void> {
  const { service, signal } = stage
  const matches = (line: Readonly<Record<string, unknown>>) =>
    line['message'] === message &&
    Array.isArray(line['backupIds']) &&
    line['backupIds'].map(String).includes(setId)
  await awaitLogLine(service.setup.logFile, from, matches, RECLAIM_TIMEOUT_MS, signal)
}
