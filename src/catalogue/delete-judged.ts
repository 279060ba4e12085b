import type { Instant } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { BatchVerdict } from '../domain/deletion.ts'
import { deletionDetails } from '../domain/deletion-receipt.ts'
import { purgeRequest } from '../domain/job.ts'
import type { Actor } from '../domain/receipt.ts'
import type { Cause } from '../domain/verdict.ts'
import type { Transaction } from './database.ts'
import { deleteSets, windowEnd } from './deletions.ts'
import type { Forecast } from './forecast.ts'
import type { Member } from './members.ts'
import type { Queue } from './queue.ts'
import { appendReceipt } from './receipts.ts'

interface Needs {
  readonly queue: Queue
  readonly receipts: ReceiptChain
  /** How long the sets can be brought back; 0: not at all. */
  readonly undeleteWindowMs: number
}

interface Asked {
  readonly cause: Cause
  readonly requestId: string | null
  readonly actor: Actor
  readonly now: Instant
  /** The sets as they were read under the lock; absent: they are read here. */
  readonly members?: readonly Member[]
}

/**
 * Deletes sets that were judged under the instance's lock and may all go, whatever asked for it: with
 * their receipt and, where they have no undelete window, the request for their purge. With a window the
 * schedule asks for it when that is over.
 */
export async function deleteJudged(
  tx: Transaction,
  { queue, receipts, undeleteWindowMs }: Needs,
  instanceId: InstanceId,
  verdicts: BatchVerdict['verdicts'],
  { cause, requestId, actor, now, members }: Asked,
): Promise<Forecast> {
  const ids = verdicts.flatMap(({ subject }) => (subject.set ? [subject.set.id] : []))
  const purgeAfter = windowEnd(now, undeleteWindowMs)
  const by = { requestId, actor }
  const record = { cause, ...by, deletedAt: now, purgeAfter }
  const forecast = await deleteSets(tx, instanceId, ids, record, members)
  const details = deletionDetails(cause, verdicts, forecast, purgeAfter)
  const kind = cause === 'expiry' ? 'expire' : 'delete'
  await appendReceipt(tx, receipts, { kind, instanceId, at: now, ...by, details })
  if (undeleteWindowMs === 0) await queue.enqueue(tx, purgeRequest(instanceId, requestId), now)
  return forecast
}
