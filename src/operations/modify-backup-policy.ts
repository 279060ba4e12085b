import { z } from 'zod'
import { lockLiveInstance, updatePolicy } from '../catalogue/instances.ts'
import { type BackupPolicy, MAX_RATE_KIB } from '../domain/instance.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, text, wholeNumber } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'log'>

const WEEK = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']
const BACKUP_DAYS_MIN = 2

/**
 * Changes the policy; what is not named stays. Each mode looks only at its own parameters, as the
 * vendor does. Logs are not backed up in this version, so switching them on is refused.
 */
export const ModifyBackupPolicy = defineOperation(
  {
    action: 'ModifyBackupPolicy',
    summary: { en: 'Changes the backup policy.', zh: '修改备份策略。' },
    access: 'write',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupPolicyMode: choice(
        ['DataBackupPolicy', 'LogBackupPolicy'],
        'Which part of the policy.',
        '策略类型。',
      ).optional(),
      PreferredBackupTime: text('An hour, as 02:00Z-03:00Z.', '备份时间。').optional(),
      PreferredBackupPeriod: text('At least two weekdays.', '备份周期。').optional(),
      BackupRetentionPeriod: wholeNumber('Days, 7–730.', '数据备份保留天数。', {
        min: 7,
        max: 730,
        error: 'InvalidBackupRetentionPeriod.Malformed',
      }).optional(),
      BackupLog: choice(['Enable', 'Disabled'], 'Log backup.', '日志备份开关。').optional(),
      EnableBackupLog: choice(
        ['1', '0', 'True', 'False'],
        'Log backup.',
        '日志备份开关。',
      ).optional(),
      ReleasedKeepPolicy: choice(['None', 'Lastest', 'All'], 'After release.', '归档保留策略。', {
        error: 'InvalidReleasedKeepPolicy.Format',
      }).optional(),
      MaxRate: wholeNumber('Ours: kB per second, 32–1048576; 0: no limit.', '备份限速。', {
        min: 0,
        max: MAX_RATE_KIB.max,
        error: 'InvalidParameter',
      }).optional(),
    }),
    response: z.object({
      // The vendor's spelling: a capital D.
      DBInstanceID: z.string(),
      CompressType: z.string(),
      EnableBackupLog: z.string(),
    }),
    errors: {
      'InvalidBackupRetentionPeriod.Malformed': {},
      'InvalidReleasedKeepPolicy.Format': {},
      'InvalidPreferredBackupTime.Format': {},
      'InvalidPreferredBackupPeriod.Malformed': {},
      InvalidParameter: {},
      UnsupportedOperation: {},
      ReadDBInstanceNotSupport: {},
      IncorrectDBInstanceState: {},
      'InvalidDBInstanceId.NotFound': {},
    },
  },
  async ({ parameters, requestId, refuse }, { catalogue, log }: Needs) => {
    const logMode = parameters.BackupPolicyMode === 'LogBackupPolicy'
    const enable = parameters.EnableBackupLog ?? '0'
    // BackupLog counts in any mode: who asks for logs is never told that all is well.
    const on = parameters.BackupLog === 'Enable' || (logMode && ['1', 'True'].includes(enable))
    const { PreferredBackupTime: time, PreferredBackupPeriod: period } = parameters
    if (!logMode && time !== undefined && !isHour(time)) {
      throw refuse('InvalidPreferredBackupTime.Format')
    }
    const days = period === undefined ? null : readDays(period)
    if (!logMode && days !== null && days.length < BACKUP_DAYS_MIN) {
      throw refuse('InvalidPreferredBackupPeriod.Malformed', 'at least two days of the week')
    }
    const { MaxRate } = parameters
    if (MaxRate !== undefined && MaxRate !== 0 && MaxRate < MAX_RATE_KIB.min) {
      throw refuse('InvalidParameter', `MaxRate: 0, or ${MAX_RATE_KIB.min}–${MAX_RATE_KIB.max}`)
    }
    return catalogue.transaction(async (tx) => {
      const found = await lockLiveInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceId.NotFound')
      if (found.instance.type === 'Readonly') throw refuse('ReadDBInstanceNotSupport')
      if (found.instance.status !== 'Running') throw refuse('IncorrectDBInstanceState')
      if (on) throw refuse('UnsupportedOperation', 'log backup does not exist in this version')
      if (!logMode) {
        const policy: BackupPolicy = {
          ...found.policy,
          dataRetentionDays: parameters.BackupRetentionPeriod ?? found.policy.dataRetentionDays,
          preferredTime: time ?? found.policy.preferredTime,
          preferredPeriod: days ?? found.policy.preferredPeriod,
          releasedKeepPolicy: parameters.ReleasedKeepPolicy ?? found.policy.releasedKeepPolicy,
          maxRateKib: rateOf(parameters.MaxRate, found.policy.maxRateKib),
        }
        await updatePolicy(tx, found.instance.id, policy)
        log.info('policy changed', { requestId, instanceId: found.instance.id, ...policy })
      }
      return { DBInstanceID: found.instance.id, CompressType: '', EnableBackupLog: '0' }
    })
  },
)

/** 0 takes the limit away. */
function rateOf(asked: number | undefined, before: number | null): number | null {
  if (asked === undefined) return before
  return asked === 0 ? null : asked
}

/** `00:00Z-01:00Z` … `23:00Z-24:00Z`. */
function isHour(text: string): boolean {
  const match = /^(\d{2}):00Z-(\d{2}):00Z$/.exec(text)
  const from = Number(match?.[1])
  return match !== null && from <= 23 && Number(match[2]) === from + 1
}

/** Weekdays in the order of the week, each once; empty when one is not a weekday. */
function readDays(text: string): readonly string[] {
  const named = text.split(',').map((day) => day.trim())
  if (!named.every((day) => WEEK.includes(day))) return []
  return WEEK.filter((day) => named.includes(day))
}
