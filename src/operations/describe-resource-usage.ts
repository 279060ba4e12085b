import { z } from 'zod'
import type { InstanceId } from '../base/ids.ts'
import { readInstances } from '../catalogue/instances.ts'
import { usageOf } from '../catalogue/usage.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { UsageFields, usageFields } from './usage-fields.ts'

/** The vendor's word for "there is none": what servers take is not looked at. */
const NOT_MEASURED = -1

/** What the backups of an instance take, also of a released one that left sets. */
export const DescribeResourceUsage = defineOperation(
  {
    action: 'DescribeResourceUsage',
    summary: { en: 'Shows what backups take.', zh: '查询实例空间使用信息。' },
    access: 'read',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
    }),
    response: z.object({
      DBInstanceId: z.string(),
      Engine: z.string(),
      /** What all backups take in the storage: data and log. */
      BackupSize: z.number(),
      BackupDataSize: z.number(),
      BackupLogSize: z.number(),
      /** The vendor's object storage is this service's storage. */
      BackupOssDataSize: z.number(),
      BackupOssLogSize: z.number(),
      BackupEcsSnapshotSize: z.string(),
      ArchiveBackupSize: z.number(),
      ColdBackupSize: z.number(),
      PaidBackupSize: z.number(),
      DiskUsed: z.number(),
      DataSize: z.number(),
      LogSize: z.number(),
      SQLSize: z.number(),
      ...UsageFields,
    }),
    errors: { 'InvalidDBInstanceId.NotFound': {} },
  },
  async ({ parameters, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) =>
    catalogue.transaction(async (tx) => {
      const instanceId = parameters.DBInstanceId as InstanceId
      const found = (await readInstances(tx, [instanceId])).get(instanceId)
      if (!found) throw refuse('InvalidDBInstanceId.NotFound')
      const usage = await usageOf(tx, instanceId)
      const dataBytes = usage.storedBytes
      const logBytes = 0
      return {
        DBInstanceId: instanceId,
        Engine: found.instance.engine,
        BackupSize: dataBytes + logBytes,
        BackupDataSize: dataBytes,
        BackupLogSize: logBytes,
        BackupOssDataSize: dataBytes,
        BackupOssLogSize: logBytes,
        BackupEcsSnapshotSize: '0',
        ArchiveBackupSize: 0,
        ColdBackupSize: NOT_MEASURED,
        PaidBackupSize: 0,
        DiskUsed: NOT_MEASURED,
        DataSize: NOT_MEASURED,
        LogSize: NOT_MEASURED,
        SQLSize: NOT_MEASURED,
        ...usageFields(usage),
      }
    }),
)
