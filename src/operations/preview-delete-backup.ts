import { z } from 'zod'
import { isoMilliseconds } from '../base/clock.ts'
import { factsOfSets } from '../catalogue/backup-sets.ts'
import { forecastDeletion } from '../catalogue/deletions.ts'
import { lockInstance } from '../catalogue/instances.ts'
import type { Subject, Verdict } from '../domain/deletion.ts'
import { judgeDeletion } from '../domain/deletion.ts'
import { defineOperation } from '../wire/operation.ts'
import { splitIds, text } from '../wire/parameters.ts'
import { knownNumbers, SETS_PER_CALL_MAX, subjectsOf, tooManySets } from './delete-backup.ts'
import type { OperationParts } from './parts.ts'
import { ruleNumber } from './refusal.ts'

type Needs = Pick<OperationParts, 'catalogue'>

const PreviewedSet = z.object({
  BackupId: z.string(),
  Deletable: z.boolean(),
  /** The first rule that refuses it, as `D11 set-old-enough`; absent when it is deletable. */
  Rule: z.string().optional(),
  Evidence: z.string().optional(),
  /** The first instant at which it is deletable; absent when time alone does not change the answer. */
  DeletableTime: z.string().optional(),
})

/**
 * Says what DeleteBackup with the same parameters would do at this moment, and changes nothing. Bytes
 * and count are of deleting those named sets that are deletable.
 */
export const PreviewDeleteBackup = defineOperation(
  {
    action: 'PreviewDeleteBackup',
    summary: { en: 'Shows what DeleteBackup would do.', zh: '预览删除备份集的结果。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupId: text(
        '1–100 backup set IDs, separated by commas.',
        '备份集 ID，逗号分隔，最多 100 个。',
      ),
    }),
    response: z.object({
      DBInstanceId: z.string(),
      /** Whether DeleteBackup would accept the request as a whole. */
      Deletable: z.boolean(),
      Items: z.object({ Backup: z.array(PreviewedSet) }),
      ReleasedBytes: z.number(),
      FreedBytes: z.number(),
      /** False while a backup or a restore pins a set involved: the bytes are then an expectation. */
      BytesExact: z.boolean(),
      RemainingBackupCount: z.number(),
    }),
    errors: {
      ParameterLeastAssociate: {},
      DeleteBackupSetNumExceed: {},
      'InvalidDBInstanceName.NotFound': {},
    },
  },
  async ({ parameters, now, refuse }, { catalogue }: Needs) => {
    const ids = splitIds(parameters.BackupId, parameters.DBInstanceId)
    if (ids.length === 0) throw refuse('ParameterLeastAssociate', 'BackupId names no backup set')
    return catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      if (ids.length > SETS_PER_CALL_MAX) {
        throw refuse('DeleteBackupSetNumExceed', tooManySets(ids.length))
      }
      const sets = await factsOfSets(tx, found.instance.id, knownNumbers(ids), now)
      const { verdicts, refusal } = judgeDeletion(subjectsOf(ids, found, sets, now), 'by-hand')
      const deletable = verdicts.filter(({ verdict }) => !verdict.refusal)
      const forecast = await forecastDeletion(
        tx,
        found.instance.id,
        knownNumbers(deletable.map(({ subject }) => subject.id)),
      )
      return {
        DBInstanceId: found.instance.id,
        Deletable: refusal === null,
        Items: { Backup: verdicts.map(({ subject, verdict }) => show(subject, verdict)) },
        ReleasedBytes: forecast.releasedBytes,
        FreedBytes: forecast.freedBytes,
        BytesExact: forecast.exact,
        RemainingBackupCount: forecast.remainingCount,
      }
    })
  },
)

function show(subject: Subject, { findings, refusal }: Verdict): z.input<typeof PreviewedSet> {
  const changes = refusal?.changes
  return {
    BackupId: subject.id,
    Deletable: refusal === null,
    ...(refusal ? { Rule: `${ruleNumber(refusal.rule)} ${refusal.rule}` } : {}),
    Evidence: (refusal ?? findings.at(-1))?.evidence,
    ...(changes?.by === 'time' ? { DeletableTime: isoMilliseconds(changes.at) } : {}),
  }
}
