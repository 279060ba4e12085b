import { z } from 'zod'
import type { Instant } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { type ListedSet, listSets } from '../catalogue/backup-sets.ts'
import { type InstanceWithPolicy, readInstances } from '../catalogue/instances.ts'
import { keptSetsOf } from '../catalogue/kept-sets.ts'
import { judgeSet } from '../domain/deletion.ts'
import { ruleName } from '../domain/deletion-rules.ts'
import type { KeptSets } from '../domain/kept-sets.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'
import {
  PageFields,
  pageFields,
  pageOf,
  rangeOf,
  SET_LIST_ERRORS,
  SETS_PARAMETER,
  setListParameters,
  setsAsked,
} from './set-list-parameters.ts'
import { VerdictFields, verdictFields } from './show-verdict.ts'

const JudgedBackup = z.object({
  BackupId: z.string(),
  ...VerdictFields,
  /** Every rule that binds a deletion by hand, in their order, with what it found. */
  Findings: z.object({
    Finding: z.array(z.object({ Rule: z.string(), Holds: z.boolean(), Evidence: z.string() })),
  }),
})

/**
 * Says of each listed set, judged alone, whether DeleteBackup would take it at this moment, by which
 * findings, and what would change the answer. Newest first; of a released instance its kept sets.
 */
export const DescribeBackupDeletability = defineOperation(
  {
    action: 'DescribeBackupDeletability',
    summary: { en: 'Explains which sets can be deleted.', zh: '查询备份集是否可删除及原因。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({
      DBInstanceId: text('The instance; also one that was released.', '实例 ID。'),
      ...SETS_PARAMETER,
      ...setListParameters(1000),
    }),
    response: z.object({
      DBInstanceId: z.string(),
      Items: z.object({ Backup: z.array(JudgedBackup) }),
      ...PageFields,
    }),
    errors: { ...SET_LIST_ERRORS, 'InvalidDBInstanceName.NotFound': {} },
  },
  async ({ parameters, now, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const instanceId = parameters.DBInstanceId as InstanceId
    const range = rangeOf(parameters, refuse)
    return catalogue.snapshot(async (tx) => {
      const found = (await readInstances(tx, [instanceId])).get(instanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const setIds = setsAsked(parameters, instanceId)
      const filter = { setIds, state: null, mode: null, ...range }
      const listed = await listSets(tx, instanceId, filter, now, pageOf(parameters))
      const kept = await keptSetsOf(tx, found, 1, now)
      return {
        DBInstanceId: instanceId,
        Items: { Backup: listed.sets.map((set) => show(set, found, kept, now)) },
        ...pageFields(parameters, listed),
      }
    })
  },
)

function show(set: ListedSet, owner: InstanceWithPolicy, kept: KeptSets, now: Instant) {
  const id = String(set.id)
  const verdict = judgeSet({ ...owner, id, set, kept, now }, 'by-hand')
  const findings = verdict.findings.map(({ rule, holds, evidence }) => ({
    Rule: ruleName(rule),
    Holds: holds,
    Evidence: evidence,
  }))
  return { BackupId: id, ...verdictFields(verdict), Findings: { Finding: findings } }
}
