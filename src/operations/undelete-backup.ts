import { z } from 'zod'
import { undeleteSets } from '../catalogue/deletions.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { defineOperation } from '../wire/operation.ts'
import { DELETED_SETS_ERRORS, DELETED_SETS_PARAMETERS, lockDeletedSets } from './deleted-sets.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'receipts' | 'log'>

/**
 * Brings deleted sets back whole while their undelete window lasts, all or none of those named: the
 * same IDs, the same bytes. The rules judge them anew, and their data retention counts from now on.
 */
export const UndeleteBackup = defineOperation(
  {
    action: 'UndeleteBackup',
    summary: { en: 'Brings deleted backup sets back.', zh: '恢复已删除的备份集。' },
    access: 'write',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object(DELETED_SETS_PARAMETERS),
    response: z.object({}),
    errors: DELETED_SETS_ERRORS,
  },
  async (request, { catalogue, receipts, log }: Needs) => {
    const { requestId, caller: actor, now } = request
    const ids = await catalogue.transaction(async (tx) => {
      const named = await lockDeletedSets(tx, request)
      const { id: instanceId } = named.found.instance
      await undeleteSets(tx, instanceId, named.ids, now)
      const details = { backupIds: named.ids.map(String) }
      const receipt = { kind: 'undelete', instanceId, at: now, requestId, actor, details } as const
      await appendReceipt(tx, receipts, receipt)
      return named.ids
    })
    const { accessKeyId } = actor
    log.info('sets undeleted', { requestId, accessKeyId, backupIds: ids })
    return {}
  },
)
