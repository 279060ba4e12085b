import { z } from 'zod'
import type { HoldId } from '../base/ids.ts'
import { releaseHold } from '../catalogue/holds.ts'
import { lockInstance } from '../catalogue/instances.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'receipts' | 'log'>

/** Ends one hold; the set may have others. */
export const ReleaseBackupHold = defineOperation(
  {
    action: 'ReleaseBackupHold',
    summary: { en: 'Releases a hold on a backup set.', zh: '解除备份集的保留。' },
    access: 'write',
    resource: 'instance',
    origin: 'holdfast',
    grant: 'by-name',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
      HoldId: text('The hold.', '保留 ID。'),
    }),
    response: z.object({ BackupId: z.string() }),
    errors: { 'InvalidDBInstanceName.NotFound': {}, 'InvalidHoldId.NotFound': {} },
  },
  async (request, { catalogue, receipts, log }: Needs) => {
    const { parameters, caller, requestId, now, refuse } = request
    const holdId = parseHoldId(parameters.HoldId)
    const released = await catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const { id } = found.instance
      const hold = holdId === null ? null : await releaseHold(tx, id, holdId, now)
      if (!hold) throw refuse('InvalidHoldId.NotFound')
      await appendReceipt(tx, receipts, {
        kind: 'release-hold',
        instanceId: id,
        at: now,
        requestId,
        actor: caller,
        details: { holdId: hold.id, backupId: String(hold.setId), reason: hold.reason },
      })
      return hold
    })
    const { setId, reason } = released
    const { accessKeyId } = caller
    log.info('hold released', { requestId, accessKeyId, holdId, setId, reason })
    return { BackupId: String(setId) }
  },
)

/** Canonical decimal text only, as for the IDs of sets. */
function parseHoldId(given: string): HoldId | null {
  const id = /^[1-9]\d{0,15}$/.test(given) ? Number(given) : Number.NaN
  return Number.isSafeInteger(id) ? (id as HoldId) : null
}
