import { z } from 'zod'
import { instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import { listDetachedSets, type SetFilter } from '../catalogue/backup-sets.ts'
import { readInstances } from '../catalogue/instances.ts'
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

const DetachedBackup = z.object({
  ...SetFields,
  DBInstanceComment: z.string(),
  /** Ours: stored bytes that become garbage if this set alone is deleted. */
  ReleasedBytes: z.number(),
})

type Needs = Pick<OperationParts, 'catalogue' | 'region' | 'undeleteWindowMs'>

/** The sets that outlived their instances, until they expire or someone deletes them. */
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
      ...SETS_PARAMETER,
      BackupStatus: choice(['Success', 'Failed'], 'Only kept sets are here.', '状态。').optional(),
      BackupMode: choice(['Automated', 'Manual'], 'How it was begun.', '备份模式。').optional(),
      ...setListParameters(100),
    }),
    response: z.object({
      Items: z.object({ Backup: z.array(DetachedBackup) }),
      ...PageFields,
    }),
    errors: { ...SET_LIST_ERRORS, 'InvalidRegion.NotFound': {} },
  },
  async ({ parameters, now, refuse }, { catalogue, region, undeleteWindowMs }: Needs) => {
    if (parameters.Region !== region) throw refuse('InvalidRegion.NotFound')
    const { DBInstanceId = null, BackupMode: mode = null } = parameters
    const setIds = setsAsked(parameters, DBInstanceId ?? '')
    const filter: SetFilter = { setIds, state: null, mode, ...rangeOf(parameters, refuse) }
    return catalogue.snapshot(async (tx) => {
      const listed =
        parameters.BackupStatus === 'Failed'
          ? NO_SETS
          : await listDetachedSets(tx, DBInstanceId, filter, now, pageOf(parameters))
      const owners = await readInstances(
        tx,
        listed.sets.map((set) => set.instanceId),
      )
      const kept = new Map<InstanceId, KeptSets>()
      for (const [id, owner] of owners) kept.set(id, await keptSetsOf(tx, owner, 1, now))
      const ids = listed.sets.map((set) => set.id)
      const released = await releasedBySet(tx, ids, instant(now + undeleteWindowMs))
      const shown = listed.sets.map((set) => {
        const [owner, others] = [owners.get(set.instanceId), kept.get(set.instanceId)]
        invariant(owner && others, 'a released instance keeps its row')
        const DBInstanceComment = owner.instance.description
        const ReleasedBytes = released.get(set.id) ?? 0
        return { ...setFields(set, owner, others, now), DBInstanceComment, ReleasedBytes }
      })
      return { Items: { Backup: shown }, ...pageFields(parameters, listed) }
    })
  },
)
