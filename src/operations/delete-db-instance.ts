import { z } from 'zod'
import { attachedServersOf } from '../catalogue/attached-servers.ts'
import { keptSets } from '../catalogue/backup-sets.ts'
import type { Transaction } from '../catalogue/database.ts'
import { followersOf, lockLiveInstance, setInstanceStatus } from '../catalogue/instances.ts'
import { openJobsOf } from '../catalogue/jobs.ts'
import type { Instance } from '../domain/instance.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, flag, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'region' | 'log'>

/**
 * Ends an instance. Servers that this service runs are removed; servers that someone else runs are
 * detached: nothing on them is stopped, changed or deleted. The sets that the policy keeps outlive
 * the instance and are found with DescribeDetachedBackups.
 */
export const DeleteDBInstance = defineOperation(
  {
    action: 'DeleteDBInstance',
    summary: { en: 'Deletes or detaches an instance.', zh: '释放或解除接入实例。' },
    access: 'delete',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      ReleasedKeepPolicy: choice(
        ['None', 'Lastest', 'All'],
        'Which sets outlive it; attached: All by default.',
        '归档保留策略。',
        { error: 'InvalidReleasedKeepPolicy.Format' },
      ).optional(),
      Unreachable: flag('Ours: in any state.', '任意状态下均可。').optional(),
    }),
    response: z.object({
      RegionId: z.string(),
      /** Ours: what is left on servers of others, to be removed there by hand. */
      LeftOnServers: z.object({ LeftOnServer: z.array(z.string()) }),
    }),
    errors: {
      'InvalidReleasedKeepPolicy.Format': {},
      'OperationDenied.DeletionProtection': {},
      ChildDBInstanceExists: {},
      IncorrectDBInstanceState: {},
      'IncorrectDBInstanceLockMode.ValueNotSupported': {},
      'InvalidDBInstanceName.NotFound': {},
    },
  },
  async (request, { catalogue, queue, region, log }: Needs) => {
    const { parameters, caller, requestId, now, refuse } = request
    return catalogue.transaction(async (tx) => {
      const found = await lockLiveInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceName.NotFound')
      const { instance, policy } = found
      if (instance.deletionProtection) throw refuse('OperationDenied.DeletionProtection')
      if (instance.lockMode !== 'Unlock') {
        throw refuse('IncorrectDBInstanceLockMode.ValueNotSupported')
      }
      const children = await followersOf(tx, instance.id)
      if (children.length > 0) {
        const ids = children.map((child) => child.instance.id).join(', ')
        throw refuse('ChildDBInstanceExists', `first detach ${ids}`)
      }
      if (instance.status !== 'Running' && !parameters.Unreachable) {
        const detail = `instance status ${instance.status}; Unreachable=true ends it in any state`
        throw refuse('IncorrectDBInstanceState', detail)
      }
      const keep = parameters.ReleasedKeepPolicy ?? policy.releasedKeepPolicy
      if (keep === null && (await keptSets(tx, instance.id, now)).length > 0) {
        const detail = 'the instance has backup sets: name ReleasedKeepPolicy None, Lastest or All'
        throw refuse('InvalidReleasedKeepPolicy.Format', detail)
      }
      const left = await leftOnServers(tx, instance)
      const open = await openJobsOf(tx, instance.id)
      if (!open.some(({ kind }) => kind === 'remove-instance')) {
        await setInstanceStatus(tx, instance.id, 'Deleting')
        await queue.enqueue(
          tx,
          {
            kind: 'remove-instance',
            instanceId: instance.id,
            // Nobody has chosen, and there is no set yet: one that comes meanwhile is kept.
            parameters: { keep: keep ?? 'All', actor: caller },
            requestId,
          },
          now,
        )
        const { accessKeyId } = caller
        log.info('removal asked for', { requestId, instanceId: instance.id, accessKeyId, keep })
      }
      return { RegionId: region, LeftOnServers: { LeftOnServer: left } }
    })
  },
)

/**
 * Slots of backups are temporary and go with their connections; what a person made for this service
 * is that person's to remove.
 */
async function leftOnServers(tx: Transaction, instance: Instance): Promise<string[]> {
  if (instance.origin === 'local') return []
  const servers = await attachedServersOf(tx, instance.id)
  const roles = [...new Set(servers.map((server) => server.userName))]
  return [
    ...roles.map((role) => `the role ${role}: DROP ROLE on the primary, if nothing else uses it`),
    ...servers.map(
      ({ host, port, userName }) =>
        `${host}:${port}: the lines for ${userName} in pg_hba.conf; replication slots named ` +
        'holdfast_… are temporary and go by themselves (look at pg_replication_slots)',
    ),
  ]
}
