import { z } from 'zod'
import type { Instant } from '../base/clock.ts'
import { isoSeconds, SECOND_MS } from '../base/clock.ts'
import type { ListedSet, SetFilter } from '../catalogue/backup-sets.ts'
import { listSets } from '../catalogue/backup-sets.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { findInstance } from '../catalogue/instances.ts'
import { judgeSet } from '../domain/deletion.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, splitIds, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { SET_LIST_ERRORS, setListParameters } from './set-list-parameters.ts'

const ListedBackup = z.object({
  BackupId: z.string(),
  DBInstanceId: z.string(),
  HostInstanceID: z.string(),
  BackupStartTime: z.string(),
  BackupEndTime: z.string(),
  BackupStatus: z.string(),
  BackupType: z.string(),
  BackupMode: z.string(),
  BackupMethod: z.string(),
  BackupInitiator: z.string(),
  BackupSize: z.number(),
  BackupDownloadURL: z.string(),
  BackupIntranetDownloadURL: z.string(),
  StoreStatus: z.string(),
  StorageClass: z.string(),
  MetaStatus: z.string(),
  IsAvail: z.number(),
  ConsistentTime: z.number(),
  CopyOnlyBackup: z.string(),
  Encryption: z.string(),
  Engine: z.string(),
  EngineVersion: z.string(),
  Checksum: z.string(),
  /** Ours: stored bytes that this set added to its predecessor. */
  NewBytes: z.number(),
  /** Ours: why a failed run failed. */
  FailureReason: z.string().optional(),
})

/** Lists kept sets and, for a week, failed runs; newest first. */
export const DescribeBackups = defineOperation(
  {
    action: 'DescribeBackups',
    summary: { en: 'Lists backup sets.', zh: '查询备份集列表。' },
    access: 'read',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupId: text('Only this set.', '备份集 ID。').optional(),
      BackupStatus: choice(['Success', 'Failed'], 'Only these.', '备份状态。').optional(),
      BackupMode: choice(['Automated', 'Manual'], 'Only these.', '备份模式。').optional(),
      BackupType: choice(
        ['FullBackup', 'IncrementalBackup'],
        'Only these.',
        '备份类型。',
      ).optional(),
      ...setListParameters(1000),
    }),
    response: z.object({
      Items: z.object({ Backup: z.array(ListedBackup) }),
      PageNumber: z.string(),
      PageRecordCount: z.string(),
      TotalRecordCount: z.string(),
      TotalEcsSnapshotSize: z.number(),
    }),
    errors: {
      ...SET_LIST_ERRORS,
      InvalidParameterCombination: {},
      'InvalidDBInstanceName.NotFound': { message: 'The database instance does not exist.' },
    },
  },
  async ({ parameters, now, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const { StartTime: from = null, EndTime: to = null } = parameters
    if (from !== null && to !== null && to <= from) throw refuse('InvalidParameterCombination')
    const page = parameters.PageNumber ?? 1
    const limit = parameters.PageSize ?? 30
    return catalogue.transaction(async (tx) => {
      const found = await findInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const { BackupId } = parameters
      const [setId = null] = BackupId ? splitIds(BackupId, found.instance.id) : []
      const filter: SetFilter = {
        setId,
        state: stateOf(parameters.BackupStatus),
        mode: parameters.BackupMode ?? null,
        from,
        to,
      }
      const namesNone = BackupId !== undefined && setId === null
      const none = namesNone || parameters.BackupType === 'IncrementalBackup'
      const { sets, total } = none
        ? { sets: [], total: 0 }
        : await listSets(tx, found.instance.id, filter, now, { offset: (page - 1) * limit, limit })
      return {
        Items: { Backup: sets.map((set) => show(set, found, now)) },
        PageNumber: String(page),
        PageRecordCount: String(sets.length),
        TotalRecordCount: String(total),
        TotalEcsSnapshotSize: 0,
      }
    })
  },
)

function stateOf(status: 'Success' | 'Failed' | undefined): SetFilter['state'] {
  if (status === undefined) return null
  return status === 'Success' ? 'kept' : 'failed'
}

function show(set: ListedSet, { instance, policy }: InstanceWithPolicy, now: Instant) {
  const verdict = judgeSet({ instance, policy, id: String(set.id), set, now }, 'by-hand')
  const good = set.state === 'kept'
  return {
    BackupId: String(set.id),
    DBInstanceId: instance.id,
    HostInstanceID: set.node ?? '',
    BackupStartTime: isoSeconds(set.startedAt),
    BackupEndTime: isoSeconds(set.finishedAt),
    BackupStatus: good ? 'Success' : 'Failed',
    BackupType: 'FullBackup',
    BackupMode: set.mode,
    BackupMethod: 'Physical',
    BackupInitiator: set.mode === 'Manual' ? 'User' : 'System',
    BackupSize: set.contentBytes,
    BackupDownloadURL: '',
    BackupIntranetDownloadURL: '',
    StoreStatus: verdict.refusal ? 'Disabled' : 'Enabled',
    StorageClass: '0',
    MetaStatus: '',
    IsAvail: good ? 1 : 0,
    ConsistentTime: Math.floor((set.consistentAt ?? 0) / SECOND_MS),
    CopyOnlyBackup: '0',
    Encryption: '{}',
    Engine: instance.engine,
    EngineVersion: instance.engineVersion,
    Checksum: checksumOf(set.checksum),
    NewBytes: set.newBytes,
    ...(set.cause === null ? {} : { FailureReason: set.cause }),
  }
}

/** The vendor's is a CRC-64 in decimal digits; ours the first 64 bits of the manifest's SHA-256. */
function checksumOf(hash: string | null): string {
  return hash === null ? '' : BigInt(`0x${hash.slice(0, 16)}`).toString()
}
