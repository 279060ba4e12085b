import { z } from 'zod'
import { lockLiveInstance, setDeletionProtection } from '../catalogue/instances.ts'
import { defineOperation } from '../wire/operation.ts'
import { flag, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

/** While protection is on, DeleteDBInstance is refused. */
export const ModifyDBInstanceDeletionProtection = defineOperation(
  {
    action: 'ModifyDBInstanceDeletionProtection',
    summary: { en: 'Protects an instance from deletion.', zh: '修改实例释放保护。' },
    access: 'write',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      DeletionProtection: flag('On or off.', '是否开启释放保护。'),
      ClientToken: text('Without meaning here: repeatable anyway.', '幂等标识。').optional(),
    }),
    response: z.object({ DBInstanceId: z.string() }),
    errors: { 'InvalidDBInstanceName.NotFound': {} },
  },
  async ({ parameters, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) =>
    catalogue.transaction(async (tx) => {
      const found = await lockLiveInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      await setDeletionProtection(tx, found.instance.id, parameters.DeletionProtection)
      return { DBInstanceId: found.instance.id }
    }),
)
