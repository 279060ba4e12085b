import { wireError } from '../error-text.ts'

/** What is refused because of backup sets, backup jobs or the backup policy. */
export const BACKUP_ERRORS = {
  ParameterLeastAssociate: wireError(
    400,
    'Must input at least one optional parameter',
    ['BackupId names no set: it is commas and blanks only.', 'BackupId 中没有有效的备份集 ID。'],
    ['Name at least one backup set.', '请至少指定一个备份集。'],
  ),
  DeleteBackupSetNumExceed: wireError(
    400,
    'Delete backup set number is more than 100.',
    ['One call names at most 100 different sets.', '单次最多指定 100 个不同的备份集。'],
    ['Split the list over several calls.', '请分多次调用。'],
  ),
  'OperationDenied.BackupSetDeleteNotSupport': wireError(
    403,
    'The Specified backup does not support this operation.',
    ['A rule keeps the set; the message names it.', '有规则保留该备份集，详见消息。'],
    [
      'Delete sets whose StoreStatus is Enabled, or wait until the time that the message gives.',
      '请删除 StoreStatus 为 Enabled 的备份集，或等待消息中给出的时间。',
    ],
  ),
  'InvalidBackupSetID.NotFound': wireError(
    404,
    'Specified backup set ID does not exist.',
    ['The instance has no backup set of this ID.', '该实例没有此 ID 的备份集。'],
    ['List the sets with DescribeBackups.', '请通过 DescribeBackups 查询备份集。'],
  ),
  IncorrectBackupSetState: wireError(
    403,
    'Current backup set state does not support operations.',
    ['The backup set is not in the state that this needs.', '备份集当前状态不支持该操作。'],
    ['The message names the state.', '详见消息中的状态。'],
  ),
  'InvalidHoldId.NotFound': wireError(
    404,
    'Specified hold ID does not exist.',
    ['The instance has no hold of this ID that still holds.', '该实例没有此 ID 的有效保留。'],
    ['List the holds with DescribeBackupHolds.', '请通过 DescribeBackupHolds 查询。'],
  ),
  'InvalidBackupMethod.ValueNotSupport': wireError(
    400,
    // The two blanks are the vendor's.
    'The specified  parameter "BackupMethod" is not valid.',
    ['The backup method is not supported.', '不支持该备份方法。'],
    ['Use Physical.', '请使用 Physical。'],
  ),
  'BackupType.NotSupport': wireError(
    400,
    'the specified backup type not support',
    ['The backup type is not supported.', '不支持该备份类型。'],
    ['Use Auto or FullBackup.', '请使用 Auto 或 FullBackup。'],
  ),
  BackupJobExists: wireError(
    400,
    'A backup job already exists in the specified DB instance.',
    ['One backup of an instance runs at a time.', '同一实例同时只能运行一个备份任务。'],
    ['Wait until the running backup has ended.', '请等待正在运行的备份结束。'],
  ),
  'InvalidBackupJobId.NotFound': wireError(
    404,
    'Specified backup job ID does not exist.',
    [
      'No backup of this instance that still runs has this ID.',
      '该实例没有此 ID 的运行中备份任务。',
    ],
    ['List the jobs with DescribeBackupTasks.', '请通过 DescribeBackupTasks 查询备份任务。'],
  ),
  'Exceeded.BackupTimes': wireError(
    403,
    'The backup times exceeds.',
    ['An instance has at most 20 backups in 24 hours.', '每个实例 24 小时内最多备份 20 次。'],
    [
      'Wait until the first of the 20 latest is more than 24 hours old.',
      '请等到最近 20 次中最早的一次超过 24 小时。',
    ],
  ),
  'InvalidDBName.Format': wireError(
    400,
    'Specified DB name is not valid.',
    ['A set contains all databases of the instance.', '备份集包含实例的全部数据库。'],
    ['Leave DBName out.', '请不要指定 DBName。'],
  ),
  'InvalidPageNumbers.Malformed': wireError(
    400,
    'Specified page number is not valid.',
    ['PageNumber is not a whole number from 1.', 'PageNumber 不是大于 0 的整数。'],
    ['Count pages from 1.', '页码从 1 开始。'],
  ),
  'InvalidMaxRecordsPerPage.Malformed': wireError(
    403,
    'Specified record number is not valid.',
    ['PageSize is outside its range.', 'PageSize 超出范围。'],
    ['Use 30, 50 or 100.', '请使用 30、50 或 100。'],
  ),
  'InvalidStartTime.Format': wireError(
    400,
    'Specified start time is not valid.',
    ['StartTime is not of the form yyyy-MM-ddTHH:mmZ.', 'StartTime 格式不是 yyyy-MM-ddTHH:mmZ。'],
    ['Send the time in UTC in that form.', '请使用该格式的 UTC 时间。'],
  ),
  'InvalidEndTime.Format': wireError(
    400,
    'Specified end time is not valid.',
    ['EndTime is not of the form yyyy-MM-ddTHH:mmZ.', 'EndTime 格式不是 yyyy-MM-ddTHH:mmZ。'],
    ['Send the time in UTC in that form.', '请使用该格式的 UTC 时间。'],
  ),
  InvalidParameterCombination: wireError(
    400,
    'The end time must be greater than the start time',
    ['EndTime is not later than StartTime.', 'EndTime 不晚于 StartTime。'],
    ['Exchange the two, or widen the range.', '请调换或扩大时间范围。'],
  ),
  'InvalidBackupRetentionPeriod.Malformed': wireError(
    400,
    'The specified backup retention period is invalid.',
    ['The retention is not 7 to 730 days.', '保留天数不在 7 到 730 之间。'],
    ['Use 7 to 730.', '请使用 7 到 730。'],
  ),
  'InvalidReleasedKeepPolicy.Format': wireError(
    400,
    'Specified Released Keep Policy is not valid.',
    ['ReleasedKeepPolicy is not None, Lastest or All.', 'ReleasedKeepPolicy 取值无效。'],
    ['Use None, Lastest (so spelt) or All.', '请使用 None、Lastest 或 All。'],
  ),
  'InvalidPreferredBackupTime.Format': wireError(
    400,
    'Specified preferred backup time is not valid.',
    ['The time is not a full hour such as 02:00Z-03:00Z.', '备份时间不是整点时段。'],
    ['Use one of the 24 hours, in UTC.', '请使用 24 个整点时段之一（UTC）。'],
  ),
  'InvalidPreferredBackupPeriod.Malformed': wireError(
    400,
    'Specified backup period is not valid.',
    ['The period is not at least two weekdays.', '备份周期不足两个星期日期。'],
    ['Name weekdays in English, with commas.', '请用英文星期名称，以逗号分隔。'],
  ),
}
