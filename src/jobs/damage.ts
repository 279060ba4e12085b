import { describeError, isFault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { raiseAlarm, recordEvent } from '../catalogue/events.ts'

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

/** Passes on what `work` throws, and tells of it when it is damaged data. */
export async function tellingDamage<T>(
  catalogue: Catalogue,
  during: string,
  subject: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isFault(error, 'corrupt')) {
      await catalogue.transaction((tx) => tellDamage(tx, during, null, subject, error))
    }
    throw error
  }
}

/** Tells what a verification found, every time it finds something. */
export async function tellFindings(
  catalogue: Catalogue,
  problems: readonly string[],
): Promise<void> {
  const [problem] = problems
  if (problem === undefined) return
  const details = { during: 'a verification', problem, problems, count: problems.length }
  await catalogue.transaction((tx) =>
    recordEvent(tx, { kind: 'damage-found', instanceId: null, details }),
  )
}
