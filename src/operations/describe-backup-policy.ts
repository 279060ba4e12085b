import { z } from 'zod'
import { isoMinutes } from '../base/clock.ts'
import { findInstance } from '../catalogue/instances.ts'
import { nextSlot } from '../domain/schedule.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

/** The policy in the vendor's types: some numbers are strings, and Terraform insists on two fields. */
export const DescribeBackupPolicy = defineOperation(
  {
    action: 'DescribeBackupPolicy',
    summary: { en: 'Shows the backup policy.', zh: '查询备份策略。' },
    access: 'read',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({ DBInstanceId: text('The instance.', '实例 ID。') }),
    response: z.object({
      PreferredBackupPeriod: z.string(),
      PreferredBackupTime: z.string(),
      PreferredNextBackupTime: z.string(),
      BackupRetentionPeriod: z.number(),
      BackupLog: z.string(),
      EnableBackupLog: z.string(),
      LogBackupRetentionPeriod: z.number(),
      LocalLogRetentionHours: z.number(),
      LocalLogRetentionSpace: z.string(),
      HighSpaceUsageProtection: z.string(),
      CompressType: z.string(),
      BackupMethod: z.string(),
      BackupInterval: z.string(),
      ReleasedKeepPolicy: z.string(),
      EnableIncrementDataBackup: z.boolean(),
      SupportReleasedKeep: z.number(),
      /** Ours: kB per second; 0: no limit. */
      MaxRate: z.number(),
      /** Ours, each off unless asked for; 0: no minimum. */
      RestoreWindowProtection: z.boolean(),
      MinimumBackupSets: z.number(),
      AllowManualDelete: z.boolean(),
    }),
    errors: { 'InvalidDBInstanceName.NotFound': {} },
  },
  async ({ parameters, now, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const found = await catalogue.transaction((tx) => findInstance(tx, parameters.DBInstanceId))
    if (!found) throw refuse('InvalidDBInstanceName.NotFound')
    const { policy } = found
    return {
      PreferredBackupPeriod: policy.preferredPeriod.join(','),
      PreferredBackupTime: policy.preferredTime,
      PreferredNextBackupTime: isoMinutes(nextSlot(policy, found.instance.id, now)),
      BackupRetentionPeriod: policy.dataRetentionDays,
      BackupLog: policy.log.enabled ? 'Enable' : 'Disabled',
      EnableBackupLog: policy.log.enabled ? '1' : '0',
      LogBackupRetentionPeriod: policy.log.retentionDays,
      LocalLogRetentionHours: 0,
      LocalLogRetentionSpace: '0',
      HighSpaceUsageProtection: 'Disable',
      CompressType: '0',
      BackupMethod: 'Physical',
      BackupInterval: '-1',
      ReleasedKeepPolicy: policy.releasedKeepPolicy ?? 'None',
      EnableIncrementDataBackup: false,
      SupportReleasedKeep: 1,
      MaxRate: policy.maxRateKib ?? 0,
      RestoreWindowProtection: policy.restoreWindowProtection,
      MinimumBackupSets: policy.minimumBackupSets ?? 0,
      AllowManualDelete: policy.allowManualDelete,
    }
  },
)
