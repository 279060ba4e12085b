import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Transaction } from '../catalogue/database.ts'
import { type InstanceWithPolicy, lockLiveInstance, updatePolicy } from '../catalogue/instances.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
import { policyDetails } from '../domain/deletion-receipt.ts'
import { weakenedProtections } from '../domain/policy.ts'
import type { ApiError } from '../wire/errors.ts'
import { defineOperation } from '../wire/operation.ts'
import type { OperationParts } from './parts.ts'
import { changedPolicy, POLICY_ERRORS, POLICY_PARAMETERS } from './policy-parameters.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'receipts' | 'log'>

/** Changes the policy; what is not named stays. */
export const ModifyBackupPolicy = defineOperation(
  {
    action: 'ModifyBackupPolicy',
    summary: { en: 'Changes the backup policy.', zh: '修改备份策略。' },
    access: 'write',
    resource: 'instance',
    origin: 'vendor',
    alsoNeeds: [
      {
        permission: 'WeakenBackupProtection',
        when: 'a retention is shortened, or a protection taken away',
        grant: 'by-name',
      },
    ],
    parameters: z.object(POLICY_PARAMETERS),
    response: z.object({
      // The vendor's spelling: a capital D.
      DBInstanceID: z.string(),
      CompressType: z.string(),
      EnableBackupLog: z.string(),
    }),
    errors: POLICY_ERRORS,
  },
  async (request, { catalogue, receipts, log }: Needs) => {
    const { parameters, requestId, caller, now, refuse } = request
    const changed = await catalogue.transaction(async (tx) => {
      const { instance, policy } = await lockForPolicy(tx, parameters.DBInstanceId, refuse)
      const after = changedPolicy(parameters, policy, refuse)
      const weakened = weakenedProtections(policy, after)
      const details = { before: policyDetails(policy), after: policyDetails(after), weakened }
      // What asks for what is so already changes nothing, and is no receipt.
      if (!isDeepStrictEqual(details.before, details.after)) {
        await updatePolicy(tx, instance.id, after, now)
        const asked = { instanceId: instance.id, at: now, requestId, actor: caller }
        await appendReceipt(tx, receipts, { kind: 'modify-policy', ...asked, details })
      }
      return { id: instance.id, after, weakened }
    })
    const { id: instanceId, after, weakened } = changed
    const { accessKeyId } = caller
    log.info('policy changed', { requestId, instanceId, accessKeyId, ...after, weakened })
    return { DBInstanceID: instanceId, CompressType: '', EnableBackupLog: '0' }
  },
)

type Code = 'InvalidDBInstanceId.NotFound' | 'ReadDBInstanceNotSupport' | 'IncorrectDBInstanceState'

/** The instance, if its policy can be changed now. */
async function lockForPolicy(
  tx: Transaction,
  instanceId: string,
  refuse: (code: Code) => ApiError,
): Promise<InstanceWithPolicy> {
  const found = await lockLiveInstance(tx, instanceId)
  if (!found) throw refuse('InvalidDBInstanceId.NotFound')
  if (found.instance.type === 'Readonly') throw refuse('ReadDBInstanceNotSupport')
  if (found.instance.status !== 'Running') throw refuse('IncorrectDBInstanceState')
  return found
}
