import { z } from 'zod'
import { undeleteSets } from '../catalogue/deletions.ts'
import { defineOperation } from '../wire/operation.ts'
import { DELETED_SETS_ERRORS, DELETED_SETS_PARAMETERS, lockDeletedSets } from './deleted-sets.ts'
import type { OperationParts } from './parts.ts'

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
  async (request, { catalogue, log }: Pick<OperationParts, 'catalogue' | 'log'>) => {
    const { requestId, caller, now } = request
    const ids = await catalogue.transaction(async (tx) => {
      const named = await lockDeletedSets(tx, request)
      await undeleteSets(tx, named.found.instance.id, named.ids, now)
      return named.ids
    })
    const { accessKeyId } = caller
    log.info('sets undeleted', { requestId, accessKeyId, backupIds: ids })
    return {}
  },
)
