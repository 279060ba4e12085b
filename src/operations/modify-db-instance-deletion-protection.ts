import { z } from 'zod'
import { lockLiveInstance, setDeletionProtection } from '../catalogue/instances.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
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
    alsoNeeds: [
      {
        permission: 'WeakenBackupProtection',
        when: 'the protection is switched off',
        grant: 'by-name',
      },
    ],
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      DeletionProtection: flag('On or off.', '是否开启释放保护。'),
      ClientToken: text('Without meaning here: repeatable anyway.', '幂等标识。').optional(),
    }),
    response: z.object({ DBInstanceId: z.string() }),
    errors: { 'InvalidDBInstanceName.NotFound': {} },
  },
  async (
    { parameters, caller: actor, requestId, now, refuse },
    { catalogue, receipts }: Pick<OperationParts, 'catalogue' | 'receipts'>,
  ) =>
    catalogue.transaction(async (tx) => {
      const found = await lockLiveInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const { id: instanceId, deletionProtection: before } = found.instance
      const after = parameters.DeletionProtection
      if (after !== before) {
        await setDeletionProtection(tx, instanceId, after)
        const details = {
          before: { DeletionProtection: before },
          after: { DeletionProtection: after },
          weakened: after ? [] : ['DeletionProtection'],
        }
        const asked = { instanceId, at: now, requestId, actor }
        await appendReceipt(tx, receipts, { kind: 'modify-policy', ...asked, details })
      }
      return { DBInstanceId: instanceId }
    }),
)
