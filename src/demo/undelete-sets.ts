import { exactBytes } from './report.ts'
import { itemsOf, listSets, type Reply } from './signed-api.ts'
import type { Instances, Stage } from './stage.ts'

/** A deleted set is listed as one that can still be brought back; this is done, and checked. */
export async function undeleteSet(stage: Stage, { pair }: Instances, setId: string): Promise<void> {
  const { report, api } = stage
  const asked = { DBInstanceId: pair, BackupId: setId }
  const [listed] = await listDeleted(stage, asked)
  report.check(
    listed !== undefined && !(await isListed(stage, pair, setId)),
    `it is gone from DescribeBackups; DescribeDeletedBackups has it until ${listed?.['UndeleteExpireTime']}`,
  )
  await api.ask('UndeleteBackup', asked)
  const back =
    (await isListed(stage, pair, setId)) && (await listDeleted(stage, asked)).length === 0
  report.check(back, `UndeleteBackup brought set ${setId} back`)
}

/** Ends the undelete window, so that the bytes come back now and not in a day. */
export async function purgeSet(stage: Stage, { pair }: Instances, setId: string): Promise<void> {
  const { report, api } = stage
  const asked = { DBInstanceId: pair, BackupId: setId }
  const purged = await api.ask('PurgeDeletedBackup', asked)
  report.line(
    `PurgeDeletedBackup of set ${setId}: frees ${exactBytes(Number(purged['FreedBytes']))}`,
  )
}

async function listDeleted(stage: Stage, asked: Reply): Promise<readonly Reply[]> {
  return itemsOf(await stage.api.ask('DescribeDeletedBackups', asked), 'DeletedBackup')
}

async function isListed({ api }: Stage, instanceId: string, setId: string): Promise<boolean> {
  return (await listSets(api, instanceId)).some((set) => set.id === setId)
}
