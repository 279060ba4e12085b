import { z } from 'zod'
import { endWindows } from '../catalogue/deletions.ts'
import { type Forecast, forecastDeletion } from '../catalogue/forecast.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { predictedDetails } from '../domain/deletion-receipt.ts'
import { purgeRequest } from '../domain/job.ts'
import { defineOperation } from '../wire/operation.ts'
import { DELETED_SETS_ERRORS, DELETED_SETS_PARAMETERS, lockDeletedSets } from './deleted-sets.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'receipts' | 'log'>

/**
 * Ends the undelete window of deleted sets now, all or none of those named: nothing brings them back
 * afterwards. The bytes come back in the background.
 */
export const PurgeDeletedBackup = defineOperation(
  {
    action: 'PurgeDeletedBackup',
    summary: { en: 'Purges deleted backup sets now.', zh: '立即清除已删除的备份集。' },
    access: 'delete',
    resource: 'instance',
    origin: 'holdfast',
    grant: 'by-name',
    parameters: z.object(DELETED_SETS_PARAMETERS),
    response: z.object({
      /** Stored bytes that become garbage. */
      ReleasedBytes: z.number(),
      /** What the disk gets back. */
      FreedBytes: z.number(),
      /** False while a backup or a restore pins a set involved: the purge waits for its end. */
      BytesExact: z.boolean(),
    }),
    errors: DELETED_SETS_ERRORS,
  },
  async (request, { catalogue, queue, receipts, log }: Needs) => {
    const { requestId, caller: actor, now } = request
    const { ids, forecast } = await catalogue.transaction(async (tx) => {
      const { found, ids } = await lockDeletedSets(tx, request)
      const { id } = found.instance
      const forecast = await forecastDeletion(tx, id, ids, now)
      await endWindows(tx, id, ids)
      const backupIds = ids.map(String)
      const details = { step: 'asked', backupIds, ...predictedDetails(forecast) }
      const receipt = { kind: 'purge', instanceId: id, at: now, requestId, actor, details } as const
      await appendReceipt(tx, receipts, receipt)
      await queue.enqueue(tx, purgeRequest(id, requestId), now)
      return { ids, forecast }
    })
    const { accessKeyId } = actor
    log.info('purge asked for', { requestId, accessKeyId, backupIds: ids, ...forecast })
    return bytesOf(forecast)
  },
)

/** As replies show a forecast. */
export function bytesOf({ releasedBytes, freedBytes, exact }: Forecast) {
  return { ReleasedBytes: releasedBytes, FreedBytes: freedBytes, BytesExact: exact }
}
