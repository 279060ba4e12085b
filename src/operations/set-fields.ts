import { z } from 'zod'
import { type Instant, isoSeconds, SECOND_MS } from '../base/clock.ts'
import type { ListedSet } from '../catalogue/backup-sets.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { judgeSet } from '../domain/deletion.ts'
import type { KeptSets } from '../domain/kept-sets.ts'

/** Fields that DescribeBackups and DescribeDetachedBackups have in common. */
export const SetFields = {
  BackupId: z.string(),
  DBInstanceId: z.string(),
  HostInstanceID: z.string(),
  BackupStartTime: z.string(),
  BackupEndTime: z.string(),
  BackupStatus: z.string(),
  BackupType: z.string(),
  BackupMode: z.string(),
  BackupMethod: z.string(),
  BackupSize: z.number(),
  BackupDownloadURL: z.string(),
  BackupIntranetDownloadURL: z.string(),
  StoreStatus: z.string(),
  MetaStatus: z.string(),
  IsAvail: z.number(),
  ConsistentTime: z.number(),
}

/** Of an instance that keeps `kept`. */
export function setFields(set: ListedSet, owner: InstanceWithPolicy, kept: KeptSets, now: Instant) {
  const verdict = judgeSet({ ...owner, id: String(set.id), set, kept, now }, 'by-hand')
  const good = set.state === 'kept'
  return {
    BackupId: String(set.id),
    DBInstanceId: set.instanceId,
    HostInstanceID: set.node ?? '',
    BackupStartTime: isoSeconds(set.startedAt),
    BackupEndTime: isoSeconds(set.finishedAt),
    BackupStatus: good ? 'Success' : 'Failed',
    BackupType: 'FullBackup',
    BackupMode: set.mode,
    BackupMethod: 'Physical',
    BackupSize: set.contentBytes,
    BackupDownloadURL: '',
    BackupIntranetDownloadURL: '',
    StoreStatus: verdict.refusal ? 'Disabled' : 'Enabled',
    MetaStatus: '',
    IsAvail: good ? 1 : 0,
    ConsistentTime: Math.floor((set.consistentAt ?? 0) / SECOND_MS),
  }
}
