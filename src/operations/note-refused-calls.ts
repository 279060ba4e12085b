import { ApiError } from '../wire/errors.ts'
import type { Operation } from '../wire/operation.ts'
import { noteRefusal } from './note-refusal.ts'
import type { OperationParts } from './parts.ts'

/**
 * The operation, which also records as an event when it refuses a call about an instance: whoever looks
 * for what happened to sets finds what was tried as well.
 */
export function noteRefusedCalls(operation: Operation<OperationParts>): Operation<OperationParts> {
  const { action } = operation.description
  return {
    ...operation,
    answer: async (context, needs) => {
      try {
        return await operation.answer(context, needs)
      } catch (error) {
        const instanceId = context.raw.get('DBInstanceId') ?? ''
        if (error instanceof ApiError && error.status < 500 && instanceId !== '') {
          const { code, message: detail } = error
          const { requestId, caller: actor } = context
          const rule = /\(Rule ([A-Z]\d+)[ :]/.exec(detail)?.[1] ?? ''
          await noteRefusal({ action, instanceId, requestId, actor, code, rule, detail }, needs)
        }
        throw error
      }
    },
  }
}
