import type { Operation } from '../wire/operation.ts'
import { AttachDBInstance } from './attach-db-instance.ts'
import { CancelBackup } from './cancel-backup.ts'
import { CreateBackup } from './create-backup.ts'
import { CreateDBInstance } from './create-db-instance.ts'
import { DeleteBackup } from './delete-backup.ts'
import { DeleteDBInstance } from './delete-db-instance.ts'
import { DescribeAttachTask } from './describe-attach-task.ts'
import { DescribeBackupPolicy } from './describe-backup-policy.ts'
import { DescribeBackupTasks } from './describe-backup-tasks.ts'
import { DescribeBackups } from './describe-backups.ts'
import { DescribeDBInstanceAttribute } from './describe-db-instance-attribute.ts'
import { DescribeDBInstances } from './describe-db-instances.ts'
import { DescribeDetachedBackups } from './describe-detached-backups.ts'
import { DescribeEvents } from './describe-events.ts'
import { DescribeRegions } from './describe-regions.ts'
import { ModifyBackupPolicy } from './modify-backup-policy.ts'
import { ModifyDBInstanceDeletionProtection } from './modify-db-instance-deletion-protection.ts'
import type { OperationParts } from './parts.ts'
import { PreviewDeleteBackup } from './preview-delete-backup.ts'

/** Every action that the API answers. */
export const OPERATIONS: readonly Operation<OperationParts>[] = [
  AttachDBInstance,
  CancelBackup,
  CreateBackup,
  CreateDBInstance,
  DeleteBackup,
  DeleteDBInstance,
  DescribeAttachTask,
  DescribeBackupPolicy,
  DescribeBackupTasks,
  DescribeBackups,
  DescribeDBInstanceAttribute,
  DescribeDBInstances,
  DescribeDetachedBackups,
  DescribeEvents,
  DescribeRegions,
  ModifyBackupPolicy,
  ModifyDBInstanceDeletionProtection,
  PreviewDeleteBackup,
]
