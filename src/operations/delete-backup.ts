import { z } from 'zod'
import type { Instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { parseBackupSetId } from '../base/ids.ts'
import { factsOfSets } from '../catalogue/backup-sets.ts'
import { deleteSets } from '../catalogue/deletions.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { lockInstance } from '../catalogue/instances.ts'
import type { Subject } from '../domain/deletion.ts'
import { judgeDeletion, judgeInstance } from '../domain/deletion.ts'
import type { BackupSetFacts } from '../domain/instance.ts'
import { defineOperation } from '../wire/operation.ts'
import { splitIds, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { DELETION_CODES, explain } from './refusal.ts'

/** The vendor's limit on one call. */
export const SETS_PER_CALL_MAX = 100

type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'log'>

/**
 * Deletes backup sets, all or none of those named. The reply follows the one transaction that took
 * them out of every list and asked for their purge; the bytes come back in the background.
 */
export const DeleteBackup = defineOperation(
  {
    action: 'DeleteBackup',
    summary: { en: 'Deletes backup sets of an instance.', zh: '删除实例的备份集。' },
    access: 'delete',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupId: text(
        '1–100 backup set IDs, separated by commas.',
        '备份集 ID，逗号分隔，最多 100 个。',
      ),
    }),
    response: z.object({}),
    errors: {
      ReadDBInstanceNotSupport: {},
      ParameterLeastAssociate: {},
      DeleteBackupSetNumExceed: {},
      IncorrectDBInstanceState: {},
      IncorrectDBInstanceType: {},
      'OperationDenied.BackupSetDeleteNotSupport': {},
      'InvalidDBInstanceName.NotFound': {},
      IncorrectDBInstanceLockMode: { status: 404 },
      'InvalidBackupSetID.NotFound': {},
      InvalidParameter: {},
    },
  },
  async ({ parameters, raw, caller, requestId, now, refuse }, { catalogue, queue, log }: Needs) => {
    if (raw.has('DryRun')) {
      throw refuse('InvalidParameter', 'DeleteBackup knows no DryRun: use PreviewDeleteBackup')
    }
    const ids = splitIds(parameters.BackupId, parameters.DBInstanceId)
    if (ids.length === 0) throw refuse('ParameterLeastAssociate', 'BackupId names no backup set')
    const event = { requestId, instanceId: parameters.DBInstanceId, backupIds: ids }
    await catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, parameters.DBInstanceId)
      const onInstance = judgeInstance(found?.instance ?? null, now, 'by-hand').refusal
      if (onInstance || !found) {
        const code = DELETION_CODES[onInstance?.rule ?? 'instance-known']
        throw refuse(code, onInstance ? explain(onInstance, null) : undefined)
      }
      if (ids.length > SETS_PER_CALL_MAX) throw refuse('DeleteBackupSetNumExceed', `${ids.length}`)
      const numbers = knownNumbers(ids)
      const sets = await factsOfSets(tx, found.instance.id, numbers, now)
      const { refusal } = judgeDeletion(subjectsOf(ids, found, sets, now), 'by-hand')
      if (refusal) {
        log.info('deletion refused', { ...event, rule: refusal.finding.rule })
        const { finding, subject } = refusal
        throw refuse(DELETION_CODES[finding.rule], explain(finding, subject.id))
      }
      const forecast = await deleteSets(tx, found.instance.id, numbers, {
        requestId,
        accessKeyId: caller.accessKeyId,
        address: caller.address,
        deletedAt: now,
        // The undelete window of this version is 0.
        purgeAfter: now,
      })
      const request = {
        kind: 'purge-sets',
        instanceId: found.instance.id,
        parameters: {},
        requestId,
      } as const
      await queue.enqueue(tx, request, now)
      log.info('sets deleted', { ...event, accessKeyId: caller.accessKeyId, ...forecast })
    })
    return {}
  },
)

/** What the rules look at for each ID as it was written. */
export function subjectsOf(
  ids: readonly string[],
  found: InstanceWithPolicy,
  sets: ReadonlyMap<BackupSetId, BackupSetFacts>,
  now: Instant,
): readonly Subject[] {
  return ids.map((id) => {
    const number = parseBackupSetId(id)
    const set = number === null ? null : (sets.get(number) ?? null)
    return { instance: found.instance, policy: found.policy, id, set, now }
  })
}

/** IDs that could be ours; others are unknown sets by their text alone (`007` is not `7`). */
export function knownNumbers(ids: readonly string[]): readonly BackupSetId[] {
  return ids.map(parseBackupSetId).filter((id) => id !== null)
}
