import type { Operation } from '../wire/operation.ts'
import { AttachDBInstance } from './attach-db-instance.ts'
import { CancelBackup } from './cancel-backup.ts'
import { CreateBackup } from './create-backup.ts'
import { CreateDBInstance } from './create-db-instance.ts'
import { DeleteBackup } from './delete-backup.ts'
import { DeleteDBInstance } from './delete-db-instance.ts'
import { DescribeAttachTask } from './describe-attach-task.ts'
import { DescribeBackupDeletability } from './describe-backup-deletability.ts'
import { DescribeBackupHolds } from './describe-backup-holds.ts'
import { DescribeBackupPolicy } from './describe-backup-policy.ts'
import { DescribeBackupTasks } from './describe-backup-tasks.ts'
import { DescribeBackups } from './describe-backups.ts'
import { DescribeDBInstanceAttribute } from './describe-db-instance-attribute.ts'
import { DescribeDBInstances } from './describe-db-instances.ts'
import { DescribeDeletedBackups } from './describe-deleted-backups.ts'
import { DescribeDetachedBackups } from './describe-detached-backups.ts'
import { DescribeEvents } from './describe-events.ts'
import { DescribeRegions } from './describe-regions.ts'
import { DescribeRepositoryUsage } from './describe-repository-usage.ts'
import { DescribeResourceUsage } from './describe-resource-usage.ts'
import { HoldBackup } from './hold-backup.ts'
import { ModifyBackupPolicy } from './modify-backup-policy.ts'
import { ModifyDBInstanceDeletionProtection } from './modify-db-instance-deletion-protection.ts'
import { noteRefusedCalls } from './note-refused-calls.ts'
import type { OperationParts } from './parts.ts'
import { PreviewDeleteBackup } from './preview-delete-backup.ts'
import { PreviewModifyBackupPolicy } from './preview-modify-backup-policy.ts'
import { PurgeDeletedBackup } from './purge-deleted-backup.ts'
import { ReleaseBackupHold } from './release-backup-hold.ts'
import { UndeleteBackup } from './undelete-backup.ts'

/** What sets can be lost or saved by: what is refused of it is on record as well. */
const ON_RECORD: readonly Operation<OperationParts>[] = [
  DeleteBackup,
  DeleteDBInstance,
  HoldBackup,
  ModifyBackupPolicy,
  ModifyDBInstanceDeletionProtection,
  PurgeDeletedBackup,
  ReleaseBackupHold,
  UndeleteBackup,
]

/** Every action that the API answers. */
export const OPERATIONS: readonly Operation<OperationParts>[] = [
  ...ON_RECORD.map(noteRefusedCalls),
  AttachDBInstance,
  CancelBackup,
  CreateBackup,
  CreateDBInstance,
  DescribeAttachTask,
  DescribeBackupDeletability,
  DescribeBackupHolds,
  DescribeBackupPolicy,
  DescribeBackups,
  DescribeBackupTasks,
  DescribeDBInstanceAttribute,
  DescribeDBInstances,
  DescribeDeletedBackups,
  DescribeDetachedBackups,
  DescribeEvents,
  DescribeRegions,
  DescribeRepositoryUsage,
  DescribeResourceUsage,
  PreviewDeleteBackup,
  PreviewModifyBackupPolicy,
]
