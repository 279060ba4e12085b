import { describeError } from '../base/fault.ts'
import { type Refusal, recordRefusal } from '../catalogue/refusals.ts'
import type { OperationParts } from './parts.ts'

/**
 * Records a refusal, after the transaction that judged. False when there are too many to record, or
 * when it could not be done: the refusal stays one in any case, and the log has it.
 */
export async function noteRefusal(
  refusal: Refusal,
  { catalogue, log }: Pick<OperationParts, 'catalogue' | 'log'>,
): Promise<boolean> {
  try {
    return await catalogue.transaction((tx) => recordRefusal(tx, refusal))
  } catch (error) {
    const { requestId } = refusal
    log.warn('refusal not recorded', { requestId, error: describeError(error) })
    return false
  }
}
