import { z } from 'zod'
import { isoExact, isoSeconds } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { listHolds } from '../catalogue/holds.ts'
import { readInstances } from '../catalogue/instances.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { SETS_PARAMETER, setsAsked } from './set-list-parameters.ts'

/** Lists the holds of an instance's sets that hold at this moment, oldest first. */
export const DescribeBackupHolds = defineOperation(
  {
    action: 'DescribeBackupHolds',
    summary: { en: 'Lists holds on backup sets.', zh: '查询备份集的保留。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
      ...SETS_PARAMETER,
    }),
    response: z.object({
      Items: z.object({
        BackupHold: z.array(
          z.object({
            HoldId: z.string(),
            BackupId: z.string(),
            Reason: z.string(),
            AccessKeyId: z.string(),
            User: z.string(),
            HoldTime: z.string(),
            /** Absent: until it is released. */
            HoldUntil: z.string().optional(),
          }),
        ),
      }),
    }),
    errors: { 'InvalidDBInstanceName.NotFound': {} },
  },
  async ({ parameters, now, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const instanceId = parameters.DBInstanceId as InstanceId
    const setIds = setsAsked(parameters, instanceId)
    const holds = await catalogue.transaction(async (tx) => {
      const found = await readInstances(tx, [instanceId])
      if (found.size === 0) throw refuse('InvalidDBInstanceName.NotFound')
      return listHolds(tx, instanceId, setIds, now)
    })
    const shown = holds.map((hold) => ({
      HoldId: String(hold.id),
      BackupId: String(hold.setId),
      Reason: hold.reason,
      AccessKeyId: hold.accessKeyId,
      User: hold.user,
      HoldTime: isoSeconds(hold.heldAt),
      ...(hold.until === null ? {} : { HoldUntil: isoExact(hold.until) }),
    }))
    return { Items: { BackupHold: shown } }
  },
)
