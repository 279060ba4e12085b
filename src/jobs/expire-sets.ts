import { type Instant, isoSeconds } from '../base/clock.ts'
import { describeError } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import {
  instancesPastRetention,
  type RetainedSet,
  setsRetainedBefore,
} from '../catalogue/automatic.ts'
import type { Transaction } from '../catalogue/database.ts'
import { deleteJudged } from '../catalogue/delete-judged.ts'
import { alarmsOf, endAlarm, raiseAlarm } from '../catalogue/events.ts'
import type { Forecast } from '../catalogue/forecast.ts'
import { type InstanceWithPolicy, lockInstance, readInstances } from '../catalogue/instances.ts'
import { keptSetsOf } from '../catalogue/kept-sets.ts'
import { chooseDeletable, judgeDeletion, judgeSet } from '../domain/deletion.ts'
import type { Subject } from '../domain/deletion-rules.ts'
import { retentionCutoff } from '../domain/policy.ts'
import { SYSTEM } from '../domain/receipt.ts'
import type { Rule } from '../domain/verdict.ts'
import type { WorkerParts } from './job.ts'

type Needs = Pick<WorkerParts, 'catalogue' | 'queue' | 'clock' | 'receipts' | 'undeleteWindowMs'>

/** In one transaction; what is left over is taken by the next. */
const BATCH_MAX = 100

/** E3 and E4: what stays alone while younger ones may go. */
const PASSED_OVER_MAX = 2

/** What refuses one of those retained longest, refuses all that are retained shorter. */
const ENDS_LOOKING: ReadonlySet<Rule> = new Set([
  'retention-over',
  'backups-succeed',
  'minimum-sets',
])

/**
 * Deletes sets beyond their data retention, as far as the rules of expiry let them go. Where backups
 * have stopped succeeding nothing expires, and that is told once.
 */
export async function expireSets(needs: Needs, log: Logger, signal: AbortSignal): Promise<void> {
  const { catalogue, clock } = needs
  const now = clock.now()
  const past = await catalogue.transaction((tx) => instancesPastRetention(tx, now))
  for (const instanceId of past) {
    try {
      while (!signal.aborted && (await expireSome(instanceId, needs, log))) {
        // The rest of a long list goes in transactions of its own.
      }
    } catch (error) {
      // The others must not wait for what is wrong with one.
      log.error('sets do not expire', { instanceId, error: describeError(error) })
    }
  }
  await catalogue.transaction((tx) => endStops(tx, new Set(past), now))
}

/** One batch; true when there may be more. Looks without the lock first: most often nothing goes. */
async function expireSome(instanceId: InstanceId, needs: Needs, log: Logger): Promise<boolean> {
  const { catalogue, clock } = needs
  const now = clock.now()
  const look = await catalogue.transaction(async (tx) => {
    const found = (await readInstances(tx, [instanceId])).get(instanceId)
    if (!found) return []
    if (await noteStop(tx, found, now)) return []
    return chooseExpired(tx, found, now, 1)
  })
  if (look.length === 0) return false
  const gone = await catalogue.transaction((tx) => deleteExpired(tx, instanceId, needs, now))
  if (gone === null) return false
  const { ids, forecast } = gone
  log.info('sets expired', { instanceId, backupIds: ids, ...forecast })
  return ids.length === BATCH_MAX
}

async function deleteExpired(
  tx: Transaction,
  instanceId: InstanceId,
  needs: Needs,
  now: Instant,
): Promise<{ readonly ids: readonly number[]; readonly forecast: Forecast } | null> {
  const found = await lockInstance(tx, instanceId)
  if (!found) return null
  const going = await chooseExpired(tx, found, now, BATCH_MAX)
  if (going.length === 0) return null
  const { verdicts } = judgeDeletion(going, 'expiry')
  const by = { cause: 'expiry', requestId: null, actor: SYSTEM, now } as const
  const forecast = await deleteJudged(tx, needs, instanceId, verdicts, by)
  return { ids: going.flatMap(({ set }) => (set ? [set.id] : [])), forecast }
}

/**
 * The oldest that may go together, at most `most`; held ones are passed over. What it reads does not
 * grow with the sets that MinimumBackupSets keeps: one that it refuses ends the search.
 */
async function chooseExpired(
  tx: Transaction,
  found: InstanceWithPolicy,
  now: Instant,
  most: number,
): Promise<readonly Subject[]> {
  const kept = await keptSetsOf(tx, found, null, now)
  const limit = most + PASSED_OVER_MAX
  const cutoff = retentionCutoff(found.policy, now)
  const subjects: Subject[] = []
  let after: RetainedSet | null = null
  for (;;) {
    const page: readonly RetainedSet[] = await setsRetainedBefore(
      ...([tx, found.instance.id, cutoff, now, 'unclaimed', after, limit] as const),
    )
    for (const set of page) {
      const subject = { ...found, id: String(set.id), set, kept, now }
      // Alone it must be free to go before it is judged with others.
      const { refusal } = judgeSet(subject, 'expiry')
      if (refusal === null) subjects.push(subject)
      else if (ENDS_LOOKING.has(refusal.rule)) return chooseDeletable(subjects, 'expiry')
      if (subjects.length === most) return chooseDeletable(subjects, 'expiry')
    }
    if (page.length < limit) return chooseDeletable(subjects, 'expiry')
    after = page.at(-1) ?? null
  }
}

/** True when nothing of the instance expires because its backups have stopped succeeding. */
async function noteStop(
  tx: Transaction,
  found: InstanceWithPolicy,
  now: Instant,
): Promise<boolean> {
  const { instance, policy } = found
  const cutoff = retentionCutoff(policy, now)
  const [oldest] = await setsRetainedBefore(tx, instance.id, cutoff, now, 'all', null, 1)
  if (!oldest) return false
  const kept = await keptSetsOf(tx, found, null, now)
  const verdict = judgeSet({ ...found, id: String(oldest.id), set: oldest, kept, now }, 'expiry')
  const stop = verdict.findings.find(({ rule, holds }) => rule === 'backups-succeed' && !holds)
  if (!stop) return false
  const since = kept.lastSuccessAt === null ? 'never' : isoSeconds(kept.lastSuccessAt)
  const details = { lastSuccess: since, evidence: stop.evidence, keptSets: kept.count }
  await raiseAlarm(tx, instance.id, {
    kind: 'expiry-stopped',
    instanceId: instance.id,
    details,
  })
  return true
}

/** Ends the alarms of instances whose backups succeed again, or that have nothing left to expire. */
async function endStops(
  tx: Transaction,
  past: ReadonlySet<InstanceId>,
  now: Instant,
): Promise<void> {
  for (const subject of await alarmsOf(tx, 'expiry-stopped')) {
    const instanceId = subject as InstanceId
    const found = (await readInstances(tx, [instanceId])).get(instanceId)
    if (found && past.has(instanceId) && (await noteStop(tx, found, now))) continue
    await endAlarm(tx, 'expiry-stopped', subject, {
      kind: 'expiry-stopped-ended',
      instanceId,
      details: {},
    })
  }
}
