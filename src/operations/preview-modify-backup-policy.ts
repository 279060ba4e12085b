import { z } from 'zod'
import { DAY_MS, type Instant, instant, isoMilliseconds } from '../base/clock.ts'
import { setsRetainedBefore } from '../catalogue/automatic.ts'
import type { Transaction } from '../catalogue/database.ts'
import { forecastDeletion } from '../catalogue/forecast.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { keptSetsOf } from '../catalogue/kept-sets.ts'
import { chooseDeletable, judgeSet } from '../domain/deletion.ts'
import { ruleName, type Subject } from '../domain/deletion-rules.ts'
import type { BackupPolicy } from '../domain/instance.ts'
import { weakenedProtections } from '../domain/policy.ts'
import type { Finding } from '../domain/verdict.ts'
import { defineOperation } from '../wire/operation.ts'
import { lockForPolicy } from './modify-backup-policy.ts'
import type { OperationParts } from './parts.ts'
import { changedPolicy, POLICY_ERRORS, POLICY_PARAMETERS } from './policy-parameters.ts'
import { bytesOf } from './purge-deleted-backup.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'undeleteWindowMs'>

/** More sets than that are counted, and not listed. */
const LISTED_MAX = 1000

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
 * nothing. Sets that would expire first come first.
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
      /** Of those that go at once. */
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
    return catalogue.transaction(async (tx) => {
      const found = await lockForPolicy(tx, parameters.DBInstanceId, refuse)
      const policy = changedPolicy(parameters, found.policy, refuse)
      const { subjects, total } = await keptSubjects(tx, { ...found, policy }, now)
      const going = chooseDeletable(subjects, 'expiry')
      const ids = new Set(going.flatMap(({ set }) => (set ? [set.id] : [])))
      const end = instant(now + undeleteWindowMs)
      const forecast = await forecastDeletion(tx, found.instance.id, [...ids], end)
      return {
        DBInstanceId: found.instance.id,
        Weakens: { Parameter: [...weakenedProtections(found.policy, policy)] },
        Items: {
          Backup: subjects.map((subject) => show(subject, found.policy, going.includes(subject))),
        },
        TotalRecordCount: total,
        ExpiringAtOnceCount: ids.size,
        ...bytesOf(forecast),
        LogFiles: { LogFile: [] },
      }
    })
  },
)

async function keptSubjects(tx: Transaction, changed: InstanceWithPolicy, now: Instant) {
  const kept = await keptSetsOf(tx, changed, LISTED_MAX, now)
  const everything = instant(Number.MAX_SAFE_INTEGER)
  const { id } = changed.instance
  const sets = await setsRetainedBefore(tx, id, everything, now, null, LISTED_MAX)
  const subjects = sets.map((set) => ({ ...changed, id: String(set.id), set, kept, now }))
  return { subjects, total: kept.count }
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
