import { z } from 'zod'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { BackupSetId } from '../base/ids.ts'
import { parseBackupSetId } from '../base/ids.ts'
import { factsOfSets } from '../catalogue/backup-sets.ts'
import type { Transaction } from '../catalogue/database.ts'
import type { Forecast } from '../catalogue/deletions.ts'
import { deleteSets } from '../catalogue/deletions.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { lockInstance } from '../catalogue/instances.ts'
import type { Queue } from '../catalogue/queue.ts'
import type { Finding, Subject } from '../domain/deletion.ts'
import { judgeDeletion, judgeInstance } from '../domain/deletion.ts'
import type { BackupSetFacts } from '../domain/instance.ts'
import { purgeRequest } from '../domain/job.ts'
import type { Context } from '../wire/operation.ts'
import { defineOperation } from '../wire/operation.ts'
import { splitIds, text } from '../wire/parameters.ts'
import { noteRefusal } from './note-refusal.ts'
import type { OperationParts } from './parts.ts'
import { DELETION_CODES, type DeletionCode, explain, ruleNumber } from './refusal.ts'

/** The vendor's limit on one call. */
export const SETS_PER_CALL_MAX = 100

/** Any spelling of it: whoever sends it expects that nothing is deleted. */
const DRY_RUN = /^dry[-_]?run$/i

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
  async (request, { catalogue, queue, log }: Needs) => {
    const { parameters, raw, caller, requestId, refuse } = request
    if ([...raw.keys()].some((name) => DRY_RUN.test(name))) {
      throw refuse('InvalidParameter', 'DeleteBackup knows no DryRun: use PreviewDeleteBackup')
    }
    const { DBInstanceId: instanceId, BackupId } = parameters
    const ids = splitIds(BackupId, instanceId)
    if (ids.length === 0) throw refuse('ParameterLeastAssociate', 'BackupId names no backup set')
    const outcome = await catalogue.transaction((tx) =>
      deleteOrRefuse(tx, queue, { ...request, instanceId, ids }),
    )
    // Logged here: the transaction can run more than once, and can fail at its end.
    const event = { requestId, instanceId, accessKeyId: caller.accessKeyId }
    if ('refused' in outcome) {
      const { code, rule, detail } = outcome.refused
      const refusal = { action: 'DeleteBackup', instanceId, requestId, actor: caller, code, rule }
      const recorded = await noteRefusal({ ...refusal, detail }, { catalogue, log })
      log.info('deletion refused', { ...event, code, rule, detail, recorded })
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
async function deleteOrRefuse(tx: Transaction, queue: Queue, asked: Asked): Promise<Outcome> {
  const { ids, requestId, caller, now } = asked
  const found = await lockInstance(tx, asked.instanceId)
  const onInstance = judgeInstance(found?.instance ?? null, now, 'by-hand').refusal
  if (onInstance) return { refused: refusalBy(onInstance, null) }
  invariant(found, 'the first rule is that the instance exists')
  if (ids.length > SETS_PER_CALL_MAX) {
    const detail = tooManySets(ids.length)
    return { refused: { code: 'DeleteBackupSetNumExceed', rule: 'D16', detail } }
  }
  const { id } = found.instance
  const numbers = knownNumbers(ids)
  const sets = await factsOfSets(tx, id, numbers, now)
  const { refusal } = judgeDeletion(subjectsOf(ids, found, sets, now), 'by-hand')
  if (refusal) return { refused: refusalBy(refusal.finding, refusal.subject.id) }
  const deleted = await deleteSets(tx, id, numbers, {
    requestId,
    accessKeyId: caller.accessKeyId,
    address: caller.address,
    deletedAt: now,
    // The undelete window of this version is 0.
    purgeAfter: now,
  })
  await queue.enqueue(tx, purgeRequest(id, requestId), now)
  return { deleted }
}

function refusalBy(finding: Finding, setId: string | null): Refused {
  const { rule } = finding
  return { code: DELETION_CODES[rule], rule: ruleNumber(rule), detail: explain(finding, setId) }
}

/** What follows the vendor's sentence when a request breaks D16. */
export function tooManySets(count: number): string {
  return `${count} different sets are named`
}

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
