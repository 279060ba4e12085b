import { z } from 'zod'
import { type Instant, instant } from '../base/clock.ts'
import type { ListedSet, SetFilter } from '../catalogue/backup-sets.ts'
import { listSets } from '../catalogue/backup-sets.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { findInstance } from '../catalogue/instances.ts'
import { keptSetsOf } from '../catalogue/kept-sets.ts'
import { releasedBySet } from '../catalogue/released-by-set.ts'
import type { KeptSets } from '../domain/kept-sets.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import { SetFields, setFields } from './set-fields.ts'
import {
  NO_SETS,
  PageFields,
  pageFields,
  pageOf,
  rangeOf,
  SET_LIST_ERRORS,
  SETS_PARAMETER,
  setListParameters,
  setsAsked,
} from './set-list-parameters.ts'

const ListedBackup = z.object({
  ...SetFields,
  BackupInitiator: z.string(),
  StorageClass: z.string(),
  CopyOnlyBackup: z.string(),
  Encryption: z.string(),
  Engine: z.string(),
  EngineVersion: z.string(),
  Checksum: z.string(),
  /** Ours: stored bytes that this set added to its predecessor. */
  NewBytes: z.number(),
  /**
   * Ours: stored bytes that become garbage if this set alone is deleted, as PreviewDeleteBackup has
   * it; 0 for a failed run.
   */
  ReleasedBytes: z.number(),
  /** Ours: why a failed run failed. */
  FailureReason: z.string().optional(),
})

type Needs = Pick<OperationParts, 'catalogue' | 'undeleteWindowMs'>

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
      ...SETS_PARAMETER,
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
      ...PageFields,
      TotalEcsSnapshotSize: z.number(),
    }),
    errors: {
      ...SET_LIST_ERRORS,
      'InvalidDBInstanceName.NotFound': { message: 'The database instance does not exist.' },
    },
  },
  async ({ parameters, now, refuse }, { catalogue, undeleteWindowMs }: Needs) => {
    const range = rangeOf(parameters, refuse)
    return catalogue.snapshot(async (tx) => {
      const found = await findInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const setIds = setsAsked(parameters, found.instance.id)
      const filter: SetFilter = {
        setIds,
        state: stateOf(parameters.BackupStatus),
        mode: parameters.BackupMode ?? null,
        ...range,
      }
      const none = parameters.BackupType === 'IncrementalBackup'
      const listed = none
        ? NO_SETS
        : await listSets(tx, found.instance.id, filter, now, pageOf(parameters))
      const kept = await keptSetsOf(tx, found, 1, now)
      const ids = listed.sets.map((set) => set.id)
      const released = await releasedBySet(tx, ids, instant(now + undeleteWindowMs))
      const shown = listed.sets.map((set) => ({
        ...show(set, found, kept, now),
        ReleasedBytes: released.get(set.id) ?? 0,
      }))
      return {
        Items: { Backup: shown },
        ...pageFields(parameters, listed),
        TotalEcsSnapshotSize: 0,
      }
    })
  },
)

function stateOf(status: 'Success' | 'Failed' | undefined): SetFilter['state'] {
  if (status === undefined) return null
  return status === 'Success' ? 'kept' : 'failed'
}

function show(set: ListedSet, owner: InstanceWithPolicy, kept: KeptSets, now: Instant) {
  return {
    ...setFields(set, owner, kept, now),
    BackupInitiator: set.mode === 'Manual' ? 'User' : 'System',
    StorageClass: '0',
    CopyOnlyBackup: '0',
    Encryption: '{}',
    Engine: owner.instance.engine,
    EngineVersion: owner.instance.engineVersion,
    Checksum: checksumOf(set.checksum),
    NewBytes: set.newBytes,
    ...(set.cause === null ? {} : { FailureReason: set.cause }),
  }
}

/** The vendor's is a CRC-64 in decimal digits; ours the first 64 bits of the manifest's SHA-256. */
function checksumOf(hash: string | null): string {
  return hash === null ? '' : BigInt(`0x${hash.slice(0, 16)}`).toString()
}
