import { z } from 'zod'
import { isoSeconds } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { type DeletedSet, listDeletedSets } from '../catalogue/deletions.ts'
import type { Forecast } from '../catalogue/forecast.ts'
import { forecastEach } from '../catalogue/forecast-each.ts'
import { readInstances } from '../catalogue/instances.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { bytesOf } from './purge-deleted-backup.ts'
import {
  PAGE_ERRORS,
  PageFields,
  pageFields,
  pageOf,
  pageParameters,
  SETS_PARAMETER,
  setsAsked,
} from './set-list-parameters.ts'

const DeletedBackup = z.object({
  BackupId: z.string(),
  DBInstanceId: z.string(),
  BackupStartTime: z.string(),
  BackupEndTime: z.string(),
  BackupMode: z.string(),
  BackupSize: z.number(),
  DeleteTime: z.string(),
  /** Until then UndeleteBackup brings it back. */
  UndeleteExpireTime: z.string(),
  /** `by-hand`, `expiry` or `instance-removal`. */
  DeleteCause: z.string(),
  /** Of purging this set now. */
  ReleasedBytes: z.number(),
  FreedBytes: z.number(),
  BytesExact: z.boolean(),
})

/** Lists the sets of an instance, also of a released one, that can still be brought back. */
export const DescribeDeletedBackups = defineOperation(
  {
    action: 'DescribeDeletedBackups',
    summary: { en: 'Lists deleted backup sets.', zh: '查询可恢复的已删除备份集。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
      ...SETS_PARAMETER,
      ...pageParameters(30, 100),
    }),
    response: z.object({
      Items: z.object({ DeletedBackup: z.array(DeletedBackup) }),
      ...PageFields,
    }),
    errors: {
      ...PAGE_ERRORS,
      'InvalidDBInstanceName.NotFound': {},
    },
  },
  async ({ parameters, now, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) =>
    catalogue.snapshot(async (tx) => {
      const instanceId = parameters.DBInstanceId as InstanceId
      const found = (await readInstances(tx, [instanceId])).get(instanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const setIds = setsAsked(parameters, instanceId)
      const listed = await listDeletedSets(tx, instanceId, setIds, now, pageOf(parameters))
      const ids = listed.sets.map((set) => set.id)
      const forecasts = await forecastEach(tx, instanceId, ids, now)
      const shown = listed.sets.flatMap((set) => {
        const forecast = forecasts.get(set.id)
        return forecast ? [show(set, forecast)] : []
      })
      return { Items: { DeletedBackup: shown }, ...pageFields(parameters, listed) }
    }),
)

function show(set: DeletedSet, forecast: Forecast): z.input<typeof DeletedBackup> {
  return {
    BackupId: String(set.id),
    DBInstanceId: set.instanceId,
    BackupStartTime: isoSeconds(set.startedAt),
    BackupEndTime: isoSeconds(set.finishedAt),
    BackupMode: set.mode,
    BackupSize: set.contentBytes,
    DeleteTime: isoSeconds(set.deletedAt),
    UndeleteExpireTime: isoSeconds(set.purgeAfter),
    DeleteCause: set.cause,
    ...bytesOf(forecast),
  }
}
