import { describeError } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Transaction } from '../catalogue/database.ts'
import { raiseAlarm } from '../catalogue/events.ts'

/** Tells of damaged data once for each `subject`, such as an object, however often it is met. */
export async function tellDamage(
  tx: Transaction,
  during: string,
  instanceId: InstanceId | null,
  subject: string,
  error: unknown,
): Promise<void> {
  const details = { during, subject, problem: describeError(error) }
  await raiseAlarm(tx, subject, { kind: 'damage-found', instanceId, details })
}
