import { z } from 'zod'
import { DAY_MS, type Instant, instant, isoMilliseconds } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { type RetainedSet, setsRetainedBefore } from '../catalogue/automatic.ts'
import type { Transaction } from '../catalogue/database.ts'
import { forecastDeletion } from '../catalogue/forecast.ts'
import { findInstance, type InstanceWithPolicy } from '../catalogue/instances.ts'
import { keptSetsOf } from '../catalogue/kept-sets.ts'
import { chooseDeletable, judgeSet } from '../domain/deletion.ts'
import { ruleName, type Subject } from '../domain/deletion-rules.ts'
import type { BackupPolicy, InstanceStatus } from '../domain/instance.ts'
import type { KeptSets } from '../domain/kept-sets.ts'
import { retentionCutoff, weakenedProtections } from '../domain/policy.ts'
import type { Finding } from '../domain/verdict.ts'
import { defineOperation } from '../wire/operation.ts'
import type { OperationParts } from './parts.ts'
import { changedPolicy, POLICY_ERRORS, POLICY_PARAMETERS } from './policy-parameters.ts'
import { bytesOf } from './purge-deleted-backup.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'undeleteWindowMs'>

const ANSWERED: ReadonlySet<InstanceStatus> = new Set(['Running', 'Stopped'])

/** More sets than that are judged and counted, and not listed. */
const LISTED_MAX = 1000

/** As many as expiry takes at once: those of a batch are judged together, the next after it is gone. */
const BATCH_SETS = 100
const PAGE_SETS = 1000

const ExpiringBackup = z.object({
  BackupId: z.string(),
  /** Under the present policy, and after the change. Time alone does not keep a set from it. */
  ExpireTimeBefore: z.string(),
  ExpireTime: z.string(),
  /** Whether it goes at the next look, seconds after the change. */
  ExpiresAtOnce: z.boolean(),
  /** The rule that keeps it beyond its time; absent when none does. */
  KeptBy: z.string().optional(),
  Evidence: z.string().optional(),
})

/**
 * Says what ModifyBackupPolicy with the same parameters would let expire, and when, and changes
 * nothing; also of a stopped instance, whose sets expire too. Sets that would expire first come first, at
 * most 1,000 are listed; counts and bytes are of all kept sets. A pause of expiry is not looked at.
 */
export const PreviewModifyBackupPolicy = defineOperation(
  {
    action: 'PreviewModifyBackupPolicy',
    summary: { en: 'Shows what a change of policy lets expire.', zh: '预览修改备份策略的影响。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object(POLICY_PARAMETERS),
    response: z.object({
      DBInstanceId: z.string(),
      /** Parameters by which the change takes protection away. */
      Weakens: z.object({ Parameter: z.array(z.string()) }),
      Items: z.object({ Backup: z.array(ExpiringBackup) }),
      /** Of all kept sets, also of those beyond what is listed. */
      TotalRecordCount: z.number(),
      /** Of all that go at once, also of those beyond what is listed; bytes as if deleted together. */
      ExpiringAtOnceCount: z.number(),
      ReleasedBytes: z.number(),
      FreedBytes: z.number(),
      BytesExact: z.boolean(),
      /** Log files that would go: none as long as logs are not backed up. */
      LogFiles: z.object({ LogFile: z.array(z.string()) }),
    }),
    errors: POLICY_ERRORS,
  },
  async (request, { catalogue, undeleteWindowMs }: Needs) => {
    const { parameters, now, refuse } = request
    return catalogue.snapshot(async (tx) => {
      const found = await findInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceId.NotFound')
      if (found.instance.type === 'Readonly') throw refuse('ReadDBInstanceNotSupport')
      if (!ANSWERED.has(found.instance.status)) throw refuse('IncorrectDBInstanceState')
      const policy = changedPolicy(parameters, found.policy, refuse)
      const changed = { ...found, policy }
      const kept = await keptSetsOf(tx, changed, null, now)
      const ids = await expiringAtOnce(tx, changed, kept, now)
      // Those past their retention that stay are judged by what the others leave.
      const left = { ...kept, count: kept.count - ids.size }
      const everything = instant(Number.MAX_SAFE_INTEGER)
      const listed = await setsRetainedBefore(
        ...([tx, found.instance.id, everything, now, 'all', null, LISTED_MAX] as const),
      )
      const end = instant(now + undeleteWindowMs)
      // Batches are purged one after another, which can give less than all of them together.
      const atOnce = undeleteWindowMs === 0 && ids.size <= BATCH_SETS
      const forecast = await forecastDeletion(tx, found.instance.id, [...ids], end)
      return {
        DBInstanceId: found.instance.id,
        Weakens: { Parameter: [...weakenedProtections(found.policy, policy)] },
        Items: {
          Backup: listed.map((set) => {
            const counted = set.retainedSince < retentionCutoff(policy, now) ? left : kept
            return show(subjectOf(set, changed, counted, now), found.policy, ids.has(set.id))
          }),
        },
        TotalRecordCount: kept.count,
        ExpiringAtOnceCount: ids.size,
        ...bytesOf({ ...forecast, exact: forecast.exact && atOnce }),
        LogFiles: { LogFile: [] },
      }
    })
  },
)

/** All that expiry would take before it finds nothing more, in batches as it does. */
async function expiringAtOnce(
  tx: Transaction,
  changed: InstanceWithPolicy,
  kept: KeptSets,
  now: Instant,
): Promise<ReadonlySet<BackupSetId>> {
  const cutoff = retentionCutoff(changed.policy, now)
  const going = new Set<BackupSetId>()
  let after: RetainedSet | null = null
  for (;;) {
    const page: readonly RetainedSet[] = await setsRetainedBefore(
      ...([tx, changed.instance.id, cutoff, now, 'unclaimed', after, PAGE_SETS] as const),
    )
    for (let from = 0; from < page.length; from += BATCH_SETS) {
      const left = { ...kept, count: kept.count - going.size }
      const batch = page
        .slice(from, from + BATCH_SETS)
        .map((set) => subjectOf(set, changed, left, now))
      for (const { set } of chooseDeletable(batch, 'expiry')) if (set) going.add(set.id)
    }
    after = page.at(-1) ?? null
    if (page.length < PAGE_SETS) return going
  }
}

function subjectOf(set: RetainedSet, changed: InstanceWithPolicy, kept: KeptSets, now: Instant) {
  return { ...changed, id: String(set.id), set, kept, now }
}

function show(subject: Subject, before: BackupPolicy, atOnce: boolean) {
  const { findings } = judgeSet(subject, 'expiry')
  const keeper = atOnce ? undefined : findings.find(({ rule, holds }) => !holds && !isTime(rule))
  const since = Math.max(subject.set?.finishedAt ?? 0, subject.set?.retainedFrom ?? 0)
  return {
    BackupId: subject.id,
    ExpireTimeBefore: expiry(since, before),
    ExpireTime: expiry(since, subject.policy),
    ExpiresAtOnce: atOnce,
    ...(keeper ? { KeptBy: ruleName(keeper.rule), Evidence: keeper.evidence } : {}),
  }
}

function isTime(rule: Finding['rule']): boolean {
  return rule === 'retention-over'
}

/** The first instant at which it is kept longer than the policy wants. */
function expiry(since: number, policy: BackupPolicy | null): string {
  return isoMilliseconds(instant(since + (policy?.dataRetentionDays ?? 0) * DAY_MS + 1))
}
