import { z } from 'zod'
import { DAY_MS, instant } from '../base/clock.ts'
import { isFault } from '../base/fault.ts'
import { countSetsBegun } from '../catalogue/backup-sets.ts'
import { lockLiveInstance } from '../catalogue/instances.ts'
import { CLOCK_TOLERANCE_MS } from '../domain/schedule.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

/** The vendor's limit on sets of one instance in a day (here: in the last 24 hours). */
const SETS_PER_DAY_MAX = 20

type Needs = Pick<OperationParts, 'catalogue' | 'queue'>

/** Asks for a physical full backup; DescribeBackupTasks tells how it goes. */
export const CreateBackup = defineOperation(
  {
    action: 'CreateBackup',
    summary: { en: 'Takes a backup set.', zh: '创建备份集。' },
    access: 'write',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupMethod: text('Physical (default).', '备份方式：Physical。').optional(),
      BackupType: text('Auto (default) or FullBackup.', '备份类型。').optional(),
      BackupStrategy: text('instance.', '备份策略：instance。').optional(),
      DBName: text('Not for physical backups.', '物理备份不支持指定库。').optional(),
    }),
    /** Digits, but a string: Terraform casts it as one. */
    response: z.object({ BackupJobId: z.string() }),
    errors: {
      'InvalidBackupMethod.ValueNotSupport': {},
      'BackupType.NotSupport': {},
      'InvalidDBName.Format': {},
      InvalidParameter: {},
      ReadDBInstanceNotSupport: {},
      'IncorrectDBInstanceLockMode.ValueNotSupported': {},
      IncorrectDBInstanceState: {},
      BackupJobExists: {},
      'Exceeded.BackupTimes': {},
      'InvalidDBInstanceName.NotFound': { message: 'The database instance does not exist.' },
    },
  },
  async ({ parameters, requestId, now, refuse }, { catalogue, queue }: Needs) => {
    const { BackupMethod, BackupType, BackupStrategy, DBName } = parameters
    if (BackupMethod !== undefined && BackupMethod !== 'Physical') {
      throw refuse('InvalidBackupMethod.ValueNotSupport', 'only Physical backups are taken')
    }
    if (BackupType !== undefined && BackupType !== 'Auto' && BackupType !== 'FullBackup') {
      throw refuse('BackupType.NotSupport')
    }
    if (BackupStrategy !== undefined && BackupStrategy !== 'instance') {
      throw refuse('InvalidParameter', 'BackupStrategy: only whole instances are backed up')
    }
    if (DBName !== undefined) {
      throw refuse('InvalidDBName.Format', 'a physical backup holds all databases')
    }
    return catalogue.transaction(async (tx) => {
      const found = await lockLiveInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const { instance } = found
      if (instance.type === 'Readonly') throw refuse('ReadDBInstanceNotSupport')
      if (instance.lockMode !== 'Unlock') {
        throw refuse('IncorrectDBInstanceLockMode.ValueNotSupported')
      }
      if (instance.status !== 'Running') {
        throw refuse('IncorrectDBInstanceState', `instance status ${instance.status}`)
      }
      // A set that is stamped in the future was made by a clock that was wrong.
      const soon = instant(now + CLOCK_TOLERANCE_MS)
      const taken = await countSetsBegun(tx, instance.id, instant(now - DAY_MS), soon)
      if (taken >= SETS_PER_DAY_MAX) {
        throw refuse('Exceeded.BackupTimes', `${taken} sets in the last 24 hours`)
      }
      const job = {
        kind: 'take-backup',
        instanceId: instance.id,
        parameters: { mode: 'Manual' },
        requestId,
      } as const
      try {
        return { BackupJobId: String(await queue.enqueue(tx, job, now)) }
      } catch (error) {
        if (isFault(error, 'exists')) throw refuse('BackupJobExists')
        throw error
      }
    })
  },
)
