import { z } from 'zod'
import { invariant } from '../base/fault.ts'
import type { Transaction } from '../catalogue/database.ts'
import { deleteJudged } from '../catalogue/delete-judged.ts'
import type { Forecast } from '../catalogue/forecast.ts'
import { lockInstanceForLookups } from '../catalogue/instances.ts'
import { judgeDeletion, judgeInstance } from '../domain/deletion.ts'
import { ruleNumber } from '../domain/deletion-rules.ts'
import type { Finding } from '../domain/verdict.ts'
import type { Context } from '../wire/operation.ts'
import { defineOperation } from '../wire/operation.ts'
import { splitIds, text } from '../wire/parameters.ts'
import { SETS_PER_CALL_MAX, subjectsNamed, tooManySets } from './named-sets.ts'
import type { OperationParts } from './parts.ts'
import { DELETION_CODES, type DeletionCode, explain } from './refusal.ts'

/** Any spelling of it: whoever sends it expects that nothing is deleted. */
const DRY_RUN = /^dry[-_]?run$/i

type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'log' | 'undeleteWindowMs' | 'receipts'>

/**
 * Deletes backup sets, all or none of those named. The reply follows the one transaction that took
 * them out of every list; their bytes come back in the background when the undelete window is over.
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
  async (request, needs: Needs) => {
    const { catalogue, log } = needs
    const { parameters, raw, caller, requestId, refuse } = request
    if ([...raw.keys()].some((name) => DRY_RUN.test(name))) {
      throw refuse('InvalidParameter', 'DeleteBackup knows no DryRun: use PreviewDeleteBackup')
    }
    const { DBInstanceId: instanceId, BackupId } = parameters
    const ids = splitIds(BackupId, instanceId)
    if (ids.length === 0) throw refuse('ParameterLeastAssociate', 'BackupId names no backup set')
    const outcome = await catalogue.transaction((tx) =>
      deleteOrRefuse(tx, needs, { ...request, instanceId, ids }),
    )
    // Logged here: the transaction can run more than once, and can fail at its end.
    const event = { requestId, instanceId, accessKeyId: caller.accessKeyId }
    if ('refused' in outcome) {
      const { code, rule, detail } = outcome.refused
      log.info('deletion refused', { ...event, code, rule, detail })
      throw refuse(code, detail)
    }
    log.info('sets deleted', { ...event, backupIds: ids, ...outcome.deleted })
    return {}
  },
)

interface Asked extends Pick<Context, 'caller' | 'requestId' | 'now'> {
  readonly instanceId: string
  /** As they were written, each once. */
  readonly ids: readonly string[]
}

interface Refused {
  readonly code: DeletionCode | 'DeleteBackupSetNumExceed'
  /** The rule's number in docs/spec/deletion.md. */
  readonly rule: string
  readonly detail: string
}

type Outcome = { readonly deleted: Forecast } | { readonly refused: Refused }

/** Judges under the instance's lock; a refusal leaves the transaction without a change. */
async function deleteOrRefuse(tx: Transaction, needs: Needs, asked: Asked): Promise<Outcome> {
  const { ids, requestId, caller, now } = asked
  const found = await lockInstanceForLookups(tx, asked.instanceId)
  const { instance = null, policy = null } = found ?? {}
  const onInstance = judgeInstance(instance, policy, now, 'by-hand').refusal
  if (onInstance) return { refused: refusalBy(onInstance, null) }
  invariant(found, 'the first rule is that the instance exists')
  if (ids.length > SETS_PER_CALL_MAX) {
    const detail = tooManySets(ids.length)
    return { refused: { code: 'DeleteBackupSetNumExceed', rule: 'D16', detail } }
  }
  const { subjects, members } = await subjectsNamed(tx, found, ids, now)
  const { verdicts, refusal } = judgeDeletion(subjects, 'by-hand')
  if (refusal) return { refused: refusalBy(refusal.finding, refusal.subject?.id ?? null) }
  const by = { cause: 'by-hand', requestId, actor: caller, now, members } as const
  return { deleted: await deleteJudged(tx, needs, found.instance.id, verdicts, by) }
}

function refusalBy(finding: Finding, setId: string | null): Refused {
  const { rule } = finding
  return { code: DELETION_CODES[rule], rule: ruleNumber(rule), detail: explain(finding, setId) }
}
