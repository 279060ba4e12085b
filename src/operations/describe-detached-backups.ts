import { z } from 'zod'
import { isoSeconds, SECOND_MS } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import { type DetachedSet, listDetachedSets } from '../catalogue/detached-sets.ts'
import { type InstanceWithPolicy, lockInstance } from '../catalogue/instances.ts'
import { judgeSet } from '../domain/deletion.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { SET_LIST_ERRORS, setListParameters } from './set-list-parameters.ts'

const DetachedBackup = z.object({
  BackupId: z.string(),
  DBInstanceId: z.string(),
  DBInstanceComment: z.string(),
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
  ConsistentTime: z.number(),
  IsAvail: z.number(),
  MetaStatus: z.string(),
  StoreStatus: z.string(),
})

/** The sets that outlived their instances, until someone deletes them. */
export const DescribeDetachedBackups = defineOperation(
  {
    action: 'DescribeDetachedBackups',
    summary: { en: 'Lists sets of released instances.', zh: '查询已释放实例的备份集。' },
    access: 'read',
    resource: 'account',
    origin: 'vendor',
    parameters: z.object({
      Region: text('The region.', '地域 ID。'),
      DBInstanceId: text('Of this instance only.', '实例 ID。').optional(),
      BackupId: text('This set only.', '备份集 ID。').optional(),
      BackupStatus: choice(['Success', 'Failed'], 'Only kept sets are here.', '状态。').optional(),
      BackupMode: choice(['Automated', 'Manual'], 'How it was begun.', '备份模式。').optional(),
      ...setListParameters(100),
    }),
    response: z.object({
      Items: z.object({ Backup: z.array(DetachedBackup) }),
      PageNumber: z.string(),
      PageRecordCount: z.string(),
      TotalRecordCount: z.string(),
    }),
    errors: {
      ...SET_LIST_ERRORS,
    },
  },
  async ({ parameters, now }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const page = parameters.PageNumber ?? 1
    const limit = parameters.PageSize ?? 30
    return catalogue.transaction(async (tx) => {
      const filter = {
        setId: parameters.BackupId ?? null,
        mode: parameters.BackupMode ?? null,
        from: parameters.StartTime ?? null,
        to: parameters.EndTime ?? null,
      }
      const { sets, total } =
        parameters.BackupStatus === 'Failed'
          ? { sets: [], total: 0 }
          : await listDetachedSets(tx, parameters.DBInstanceId ?? null, filter, {
              offset: (page - 1) * limit,
              limit,
            })
      const owners = new Map<string, InstanceWithPolicy>()
      for (const { instanceId } of sets) {
        if (owners.has(instanceId)) continue
        const owner = await lockInstance(tx, instanceId)
        invariant(owner, 'a released instance keeps its row')
        owners.set(instanceId, owner)
      }
      const shown = sets.map((set) => {
        const owner = owners.get(set.instanceId)
        invariant(owner, 'the owner of a listed set was read')
        const subject = { ...owner, id: String(set.id), set, now }
        return show(set, owner, judgeSet(subject, 'by-hand').refusal === null)
      })
      return {
        Items: { Backup: shown },
        PageNumber: String(page),
        PageRecordCount: String(sets.length),
        TotalRecordCount: String(total),
      }
    })
  },
)

function show(set: DetachedSet, { instance }: InstanceWithPolicy, deletable: boolean) {
  return {
    BackupId: String(set.id),
    DBInstanceId: set.instanceId,
    DBInstanceComment: instance.description,
    HostInstanceID: set.node ?? '',
    BackupStartTime: isoSeconds(set.startedAt),
    BackupEndTime: isoSeconds(set.finishedAt),
    BackupStatus: 'Success',
    BackupType: 'FullBackup',
    BackupMode: set.mode,
    BackupMethod: 'Physical',
    BackupSize: set.contentBytes,
    BackupDownloadURL: '',
    BackupIntranetDownloadURL: '',
    ConsistentTime: Math.floor((set.consistentAt ?? 0) / SECOND_MS),
    IsAvail: 1,
    MetaStatus: '',
    StoreStatus: deletable ? 'Enabled' : 'Disabled',
  }
}
