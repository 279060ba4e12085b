import { z } from 'zod'
import { undeleteSets } from '../catalogue/deletions.ts'
import { forecastDeletion } from '../catalogue/forecast.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { judgeSet } from '../domain/deletion.ts'
import { undeleteDetails } from '../domain/deletion-receipt.ts'
import { defineOperation } from '../wire/operation.ts'
import { DELETED_SETS_ERRORS, DELETED_SETS_PARAMETERS, lockDeletedSets } from './deleted-sets.ts'
import { subjectsNamed } from './named-sets.ts'
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
      const { found, ids: back } = named
      const { id: instanceId } = found.instance
      const predicted = await forecastDeletion(tx, instanceId, back, now)
      await undeleteSets(tx, instanceId, back, now)
      const { subjects } = await subjectsNamed(tx, found, back.map(String), now)
      const judged = subjects.map((subject) => ({ subject, verdict: judgeSet(subject, 'by-hand') }))
      const details = undeleteDetails(judged, { ...predicted, exact: false })
      const receipt = { kind: 'undelete', instanceId, at: now, requestId, actor, details } as const
      await appendReceipt(tx, receipts, receipt)
      return back
    })
    const { accessKeyId } = actor
    log.info('sets undeleted', { requestId, accessKeyId, backupIds: ids })
    return {}
  },
)
