import type { Operation } from '../wire/operation.ts'
import { CancelBackup } from './cancel-backup.ts'
import { CreateBackup } from './create-backup.ts'
import { CreateDBInstance } from './create-db-instance.ts'
import { DeleteBackup } from './delete-backup.ts'
import { DescribeBackupPolicy } from './describe-backup-policy.ts'
import { DescribeBackupTasks } from './describe-backup-tasks.ts'
import { DescribeBackups } from './describe-backups.ts'
import { DescribeDBInstanceAttribute } from './describe-db-instance-attribute.ts'
import { DescribeDBInstances } from './describe-db-instances.ts'
import { DescribeRegions } from './describe-regions.ts'
import { ModifyBackupPolicy } from './modify-backup-policy.ts'
import type { OperationParts } from './parts.ts'
import { PreviewDeleteBackup } from './preview-delete-backup.ts'

/** Every action that the API answers. */
export const OPERATIONS: readonly Operation<OperationParts>[] = [
  CancelBackup,
  CreateBackup,
  CreateDBInstance,
  DeleteBackup,
  DescribeBackupPolicy,
  DescribeBackupTasks,
  DescribeBackups,
  DescribeDBInstanceAttribute,
  DescribeDBInstances,
  DescribeRegions,
  ModifyBackupPolicy,
  PreviewDeleteBackup,
]
