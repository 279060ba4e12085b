import { z } from 'zod'
import type { InstanceId, JobId } from '../base/ids.ts'
import { requestCancel } from '../catalogue/jobs.ts'
import { defineOperation } from '../wire/operation.ts'
import { text, wholeNumber } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

/** Asks a backup job to stop; it then leaves a failed run and no bytes. Repeatable until it ended. */
export const CancelBackup = defineOperation(
  {
    action: 'CancelBackup',
    summary: { en: 'Cancels a running backup.', zh: '取消正在进行的备份。' },
    access: 'write',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupJobId: wholeNumber('The job that CreateBackup returned.', '备份任务 ID。', {
        min: 1,
        max: 2 ** 31 - 1,
      }),
    }),
    response: z.object({}),
    errors: { 'InvalidBackupJobId.NotFound': {} },
  },
  async ({ parameters, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const { DBInstanceId, BackupJobId } = parameters
    const asked = await catalogue.transaction((tx) =>
      requestCancel(tx, DBInstanceId as InstanceId, BackupJobId as JobId),
    )
    if (!asked) throw refuse('InvalidBackupJobId.NotFound', 'no such job, or it has ended')
    return {}
  },
)
