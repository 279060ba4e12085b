import type { z } from 'zod'
import {
  type BackupPolicy,
  MAX_RATE_KIB,
  MINIMUM_BACKUP_SETS_MAX,
  RETENTION_DAYS,
} from '../domain/instance.ts'
import { WEEK } from '../domain/schedule.ts'
import type { ApiError } from '../wire/errors.ts'
import { choice, flag, text, wholeNumber } from '../wire/parameters.ts'

const BACKUP_DAYS_MIN = 2
const RETENTION_ERROR = {
  ...RETENTION_DAYS,
  error: 'InvalidBackupRetentionPeriod.Malformed',
} as const

/** What ModifyBackupPolicy takes, and its preview. Others of the vendor's have no meaning here. */
export const POLICY_PARAMETERS = {
  DBInstanceId: text('The instance.', '实例 ID。'),
  BackupPolicyMode: choice(
    ['DataBackupPolicy', 'LogBackupPolicy'],
    'Which part of the policy.',
    '策略类型。',
  ).optional(),
  PreferredBackupTime: text('An hour, as 02:00Z-03:00Z.', '备份时间。').optional(),
  PreferredBackupPeriod: text('At least two weekdays.', '备份周期。').optional(),
  BackupRetentionPeriod: wholeNumber(
    'Days, 7–730.',
    '数据备份保留天数。',
    RETENTION_ERROR,
  ).optional(),
  LogBackupRetentionPeriod: wholeNumber(
    'Days, 7–730, not more than those of data.',
    '日志备份保留天数。',
    RETENTION_ERROR,
  ).optional(),
  BackupLog: choice(['Enable', 'Disabled'], 'Log backup.', '日志备份开关。').optional(),
  EnableBackupLog: choice(['1', '0', 'True', 'False'], 'Log backup.', '日志备份开关。').optional(),
  ReleasedKeepPolicy: choice(['None', 'Lastest', 'All'], 'After release.', '归档保留策略。', {
    error: 'InvalidReleasedKeepPolicy.Format',
  }).optional(),
  MaxRate: wholeNumber('Ours: kB per second, 32–1048576; 0: no limit.', '备份限速。', {
    min: 0,
    max: MAX_RATE_KIB.max,
    error: 'InvalidParameter',
  }).optional(),
  RestoreWindowProtection: flag(
    'Ours: whether a deletion by hand must leave the available recovery time as it is.',
    '可恢复时间保护。',
  ).optional(),
  MinimumBackupSets: wholeNumber(
    'Ours: sets that neither hand nor expiry goes below, 1–10000; 0: off.',
    '最少保留备份集数。',
    { min: 0, max: MINIMUM_BACKUP_SETS_MAX },
  ).optional(),
  AllowManualDelete: flag(
    'Ours: whether sets of a Basic instance may be deleted by hand.',
    '基础系列允许手动删除。',
  ).optional(),
}

/** The codes of those parameters and of an instance whose policy cannot be changed. */
export const POLICY_ERRORS = {
  'InvalidBackupRetentionPeriod.Malformed': {},
  'InvalidReleasedKeepPolicy.Format': {},
  'InvalidPreferredBackupTime.Format': {},
  'InvalidPreferredBackupPeriod.Malformed': {},
  InvalidParameter: {},
  UnsupportedOperation: {},
  ReadDBInstanceNotSupport: {},
  IncorrectDBInstanceState: {},
  'InvalidDBInstanceId.NotFound': {},
} as const

type Parameters = z.output<z.ZodObject<typeof POLICY_PARAMETERS>>
type Refuse = (code: keyof typeof POLICY_ERRORS, detail?: string) => ApiError

/**
 * The policy after the change that is asked for; what is not named stays. Each mode looks only at its
 * own parameters, as the vendor does. Logs are not backed up in this version, so switching them on
 * is refused.
 */
export function changedPolicy(
  parameters: Parameters,
  policy: BackupPolicy,
  refuse: Refuse,
): BackupPolicy {
  const logMode = parameters.BackupPolicyMode === 'LogBackupPolicy'
  const enable = parameters.EnableBackupLog ?? '0'
  // BackupLog counts in any mode: who asks for logs is never told that all is well. Not so
  // EnableBackupLog: the Terraform provider sends 1 without a mode when it deletes a policy.
  const on = parameters.BackupLog === 'Enable' || (logMode && ['1', 'True'].includes(enable))
  if (on) throw refuse('UnsupportedOperation', 'log backup does not exist in this version')
  const changed = logMode ? policy : changedDataPolicy(parameters, policy, refuse)
  return { ...changed, log: changedLog(parameters, changed, refuse) }
}

function changedDataPolicy(
  parameters: Parameters,
  policy: BackupPolicy,
  refuse: Refuse,
): BackupPolicy {
  const { PreferredBackupTime: time, PreferredBackupPeriod: period } = parameters
  if (time !== undefined && !isHour(time)) throw refuse('InvalidPreferredBackupTime.Format')
  const days = period === undefined ? null : readDays(period)
  if (days !== null && days.length < BACKUP_DAYS_MIN) {
    throw refuse('InvalidPreferredBackupPeriod.Malformed', 'at least two days of the week')
  }
  const { MaxRate, MinimumBackupSets } = parameters
  if (MaxRate !== undefined && MaxRate !== 0 && MaxRate < MAX_RATE_KIB.min) {
    throw refuse('InvalidParameter', `MaxRate: 0, or ${MAX_RATE_KIB.min}–${MAX_RATE_KIB.max}`)
  }
  return {
    ...policy,
    dataRetentionDays: parameters.BackupRetentionPeriod ?? policy.dataRetentionDays,
    preferredTime: time ?? policy.preferredTime,
    preferredPeriod: days ?? policy.preferredPeriod,
    releasedKeepPolicy: parameters.ReleasedKeepPolicy ?? policy.releasedKeepPolicy,
    maxRateKib: zeroIsOff(MaxRate, policy.maxRateKib),
    restoreWindowProtection: parameters.RestoreWindowProtection ?? policy.restoreWindowProtection,
    minimumBackupSets: zeroIsOff(MinimumBackupSets, policy.minimumBackupSets),
    allowManualDelete: parameters.AllowManualDelete ?? policy.allowManualDelete,
  }
}

/** Logs are kept no longer than data; while they are off, their days follow those of data down. */
function changedLog(
  { LogBackupRetentionPeriod: asked }: Parameters,
  { log, dataRetentionDays }: BackupPolicy,
  refuse: Refuse,
): BackupPolicy['log'] {
  if (asked === undefined && !log.enabled) {
    return { ...log, retentionDays: Math.min(log.retentionDays, dataRetentionDays) }
  }
  const retentionDays = asked ?? log.retentionDays
  if (retentionDays > dataRetentionDays) {
    const detail = `logs ${retentionDays} d, data ${dataRetentionDays} d: logs are kept no longer`
    throw refuse('InvalidBackupRetentionPeriod.Malformed', detail)
  }
  return { ...log, retentionDays }
}

function zeroIsOff(asked: number | undefined, before: number | null): number | null {
  if (asked === undefined) return before
  return asked === 0 ? null : asked
}

/** `00:00Z-01:00Z` … `23:00Z-24:00Z`. */
function isHour(given: string): boolean {
  const match = /^(\d{2}):00Z-(\d{2}):00Z$/.exec(given)
  const from = Number(match?.[1])
  return match !== null && from <= 23 && Number(match[2]) === from + 1
}

/** Weekdays in the order of the week, each once; empty when one is not a weekday. */
function readDays(given: string): readonly string[] {
  const named = given.split(',').map((day) => day.trim())
  if (!named.every((day) => WEEK.some((known) => known === day))) return []
  return WEEK.filter((day) => named.includes(day))
}
