import { z } from 'zod'
import { instant, isoMilliseconds } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { reusePlans } from '../catalogue/database.ts'
import { forecastDeletion } from '../catalogue/forecast.ts'
import { readInstances } from '../catalogue/instances.ts'
import { judgeDeletion } from '../domain/deletion.ts'
import { ruleName, type Subject } from '../domain/deletion-rules.ts'
import { type RecoveryTime, recoveryTime } from '../domain/kept-sets.ts'
import { defineOperation } from '../wire/operation.ts'
import { splitIds, text } from '../wire/parameters.ts'
import { SETS_PER_CALL_MAX, subjectsNamed, tooManySets } from './named-sets.ts'
import type { OperationParts } from './parts.ts'
import { bytesOf } from './purge-deleted-backup.ts'
import { VerdictFields, verdictFields } from './show-verdict.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'undeleteWindowMs'>

const AvailableRecoveryTime = z
  .object({ RecoveryBeginTime: z.string(), RecoveryEndTime: z.string() })
  .optional()

/**
 * Says what DeleteBackup with the same parameters would do at this moment, and changes nothing. Bytes,
 * counts and times are of deleting those named sets that are deletable.
 */
export const PreviewDeleteBackup = defineOperation(
  {
    action: 'PreviewDeleteBackup',
    summary: { en: 'Shows what DeleteBackup would do.', zh: '预览删除备份集的结果。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
      BackupId: text(
        '1–100 backup set IDs, separated by commas.',
        '备份集 ID，逗号分隔，最多 100 个。',
      ),
    }),
    response: z.object({
      DBInstanceId: z.string(),
      /** Whether DeleteBackup would accept the request as a whole. */
      Deletable: z.boolean(),
      /** The rule that refuses the request as a whole; absent when it would be accepted. */
      Rule: z.string().optional(),
      Evidence: z.string().optional(),
      Items: z.object({ Backup: z.array(z.object({ BackupId: z.string(), ...VerdictFields })) }),
      /** Given back as soon as the call is answered: 0 under an undelete window. */
      ReleasedBytesNow: z.number(),
      FreedBytesNow: z.number(),
      /** Stored bytes that become garbage when the undelete window is over, as of now. */
      ReleasedBytes: z.number(),
      /** What the disk gets back then. */
      FreedBytes: z.number(),
      /**
       * False under an undelete window, and while a backup or a restore pins a set involved: what
       * happens until the purge can change the bytes.
       */
      BytesExact: z.boolean(),
      /** Until when UndeleteBackup could bring the sets back; absent without an undelete window. */
      UndeleteExpireTime: z.string().optional(),
      RemainingBackupCount: z.number(),
      /** What can be restored to, before and after; absent when nothing can. */
      AvailableRecoveryTimeBefore: AvailableRecoveryTime,
      AvailableRecoveryTimeAfter: AvailableRecoveryTime,
      /** Log files that would go: none as long as logs are not backed up. */
      LogFiles: z.object({ LogFile: z.array(z.string()) }),
    }),
    errors: {
      ParameterLeastAssociate: {},
      DeleteBackupSetNumExceed: {},
      'InvalidDBInstanceName.NotFound': {},
    },
  },
  async ({ parameters, now, refuse }, { catalogue, undeleteWindowMs }: Needs) => {
    const ids = splitIds(parameters.BackupId, parameters.DBInstanceId)
    if (ids.length === 0) throw refuse('ParameterLeastAssociate', 'BackupId names no backup set')
    return catalogue.snapshot(async (tx) => {
      await reusePlans(tx)
      const instanceId = parameters.DBInstanceId as InstanceId
      const found = (await readInstances(tx, [instanceId])).get(instanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      if (ids.length > SETS_PER_CALL_MAX) {
        throw refuse('DeleteBackupSetNumExceed', tooManySets(ids.length))
      }
      const { subjects, members } = await subjectsNamed(tx, found, ids, now, true)
      const { verdicts, refusal } = judgeDeletion(subjects, 'by-hand')
      const going = verdicts.filter(({ verdict }) => !verdict.refusal)
      const named = new Set(going.flatMap(({ subject }) => (subject.set ? [subject.set.id] : [])))
      const atOnce = undeleteWindowMs === 0
      const end = instant(now + undeleteWindowMs)
      const until = isoMilliseconds(end)
      const ending = members.filter(({ id }) => named.has(id))
      const forecast = await forecastDeletion(tx, instanceId, [...named], end, ending)
      return {
        DBInstanceId: found.instance.id,
        Deletable: refusal === null,
        ...(refusal
          ? { Rule: ruleName(refusal.finding.rule), Evidence: refusal.finding.evidence }
          : {}),
        Items: {
          Backup: verdicts.map(({ subject, verdict }) => ({
            BackupId: subject.id,
            ...verdictFields(verdict),
          })),
        },
        ReleasedBytesNow: atOnce ? forecast.releasedBytes : 0,
        FreedBytesNow: atOnce ? forecast.freedBytes : 0,
        ...bytesOf({ ...forecast, exact: forecast.exact && atOnce }),
        ...(atOnce ? {} : { UndeleteExpireTime: until }),
        RemainingBackupCount: forecast.remainingCount,
        ...timesOf(
          subjects,
          going.map(({ subject }) => subject),
        ),
        LogFiles: { LogFile: [] },
      }
    })
  },
)

/** All subjects are of one instance, so any of them tells of its kept sets. */
function timesOf(subjects: readonly Subject[], going: readonly Subject[]) {
  const kept = subjects[0]?.kept
  if (!kept) return {}
  const gone = new Set(going.flatMap(({ set }) => (set ? [set.id] : [])))
  return {
    AvailableRecoveryTimeBefore: timeFields(recoveryTime(kept)),
    AvailableRecoveryTimeAfter: timeFields(recoveryTime(kept, gone)),
  }
}

function timeFields(time: RecoveryTime | null) {
  if (time === null) return undefined
  return {
    RecoveryBeginTime: isoMilliseconds(time.begin),
    RecoveryEndTime: isoMilliseconds(time.end),
  }
}
