import type { Instant } from '../base/clock.ts'
import { DAY_MS, instant, isoMilliseconds } from '../base/clock.ts'
import { formatSpan } from '../base/span.ts'
import type { BackupPolicy, BackupSetFacts, Instance } from './instance.ts'

/**
 * The rules of DeleteBackup as a table: docs/spec/deletion.md numbers them D1–D11 and gives their
 * sources. Adding a rule = adding a row here; operations then do not compile until they map it to
 * an error code.
 */
export type Rule =
  | 'instance-known'
  | 'instance-writable'
  | 'instance-unlocked'
  | 'instance-running'
  | 'engine-supported'
  | 'category-supported'
  | 'set-known'
  | 'set-finished'
  | 'set-not-restoring'
  | 'log-retention-shorter'
  | 'set-old-enough'

/** Why a deletion is asked: the vendor's rules bind only what is done by hand. */
export type Cause = 'by-hand' | 'expiry' | 'instance-removal'

/** What would change a refusal. */
export type Change =
  | { readonly by: 'time'; readonly at: Instant }
  | { readonly by: 'policy' | 'state' | 'nothing' }

/** One rule applied to one subject. `evidence` is for people: the facts that decided it. */
export interface Finding {
  readonly rule: Rule
  readonly holds: boolean
  readonly evidence: string
  readonly changes: Change
}

/** Deletable iff every finding holds; else `refusal` is the first that does not, in rule order. */
export interface Verdict {
  readonly findings: readonly Finding[]
  readonly refusal: Finding | null
}

/** What a rule may look at. `id` is as the caller wrote it; `set` is null when unknown here. */
export interface Subject {
  readonly instance: Instance | null
  readonly policy: BackupPolicy | null
  readonly id: string
  readonly set: BackupSetFacts | null
  readonly now: Instant
}

/** With log backup off no restore to a time is possible and any set older than this may go. */
const AGE_WITHOUT_LOGS_DAYS = 7

interface RuleRow {
  readonly rule: Rule
  /** About the instance alone, or about one set. */
  readonly about: 'instance' | 'set'
  readonly binds: readonly Cause[]
  readonly judge: (subject: Subject) => Omit<Finding, 'rule'>
}

const BY_HAND: readonly Cause[] = ['by-hand']
const ALWAYS: readonly Cause[] = ['by-hand', 'expiry', 'instance-removal']

/** In order: the first rule that fails is the refusal. */
export const RULES: readonly RuleRow[] = [
  {
    rule: 'instance-known',
    about: 'instance',
    binds: ALWAYS,
    judge: ({ instance }) =>
      instance ? holds('the instance exists') : fails('no such instance', 'nothing'),
  },
  {
    rule: 'instance-writable',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      check(instance?.type !== 'Readonly', `instance type ${instance?.type}`, 'nothing'),
  },
  {
    rule: 'instance-unlocked',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      check(instance?.lockMode === 'Unlock', `lock mode ${instance?.lockMode}`, 'state'),
  },
  {
    rule: 'instance-running',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      isReleased(instance) ??
      check(instance?.status === 'Running', `instance status ${instance?.status}`, 'state'),
  },
  {
    rule: 'engine-supported',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      check(
        instance?.engine === 'PostgreSQL' || instance?.engine === 'MySQL',
        `engine ${instance?.engine}`,
        'nothing',
      ),
  },
  {
    rule: 'category-supported',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      isReleased(instance) ??
      check(
        instance?.category === 'HighAvailability',
        `category ${instance?.category}, needs HighAvailability`,
        'nothing',
      ),
  },
  {
    rule: 'set-known',
    about: 'set',
    binds: ALWAYS,
    judge: ({ set }) =>
      set && set.state !== 'deleted' && set.state !== 'writing'
        ? holds('the set is one of this instance')
        : fails('this instance has no such backup set', 'nothing'),
  },
  {
    rule: 'set-finished',
    about: 'set',
    binds: BY_HAND,
    judge: ({ set }) =>
      check(
        set?.state === 'kept',
        set?.state === 'failed'
          ? 'the run failed: it holds no data and leaves the list by itself 7 d after it ended'
          : 'the backup succeeded',
        'nothing',
      ),
  },
  {
    rule: 'set-not-restoring',
    about: 'set',
    binds: ALWAYS,
    judge: ({ set }) =>
      set?.restoring
        ? fails('a restore reads from the set at this moment', 'state')
        : holds('no restore reads from the set'),
  },
  { rule: 'log-retention-shorter', about: 'set', binds: BY_HAND, judge: judgeLogRetention },
  { rule: 'set-old-enough', about: 'set', binds: BY_HAND, judge: judgeAge },
]

/** A released instance has no server to be asked and no category to keep: only its sets' rules bind. */
function isReleased(instance: Instance | null): Omit<Finding, 'rule'> | null {
  return instance?.status === 'Released' ? holds('the instance was released') : null
}

/** One set alone, as StoreStatus shows it. */
export function judgeSet(subject: Subject, cause: Cause): Verdict {
  return judgeBy(binding(cause), subject)
}

/** The instance's rules alone; they come before any look at the sets that a request names. */
export function judgeInstance(instance: Instance | null, now: Instant, cause: Cause): Verdict {
  const rows = binding(cause).filter((row) => row.about === 'instance')
  return judgeBy(rows, { instance, policy: null, id: '', set: null, now })
}

function judgeBy(rows: readonly RuleRow[], subject: Subject): Verdict {
  const findings: Finding[] = []
  for (const { rule, judge } of rows) {
    const finding = { rule, ...judge(subject) }
    findings.push(finding)
    // Later rules speak of things that an earlier one has found missing.
    if (!finding.holds) return { findings, refusal: finding }
  }
  return { findings, refusal: null }
}

export interface BatchVerdict {
  readonly verdicts: readonly { readonly subject: Subject; readonly verdict: Verdict }[]
  /** The first failing rule in rule order, then in the order of the subjects. */
  readonly refusal: { readonly subject: Subject; readonly finding: Finding } | null
}

/** All sets of one request together: one that must stay refuses them all. */
export function judgeDeletion(subjects: readonly Subject[], cause: Cause): BatchVerdict {
  const verdicts = subjects.map((subject) => ({ subject, verdict: judgeSet(subject, cause) }))
  let refusal: BatchVerdict['refusal'] = null
  let rank = RULES.length
  for (const { subject, verdict } of verdicts) {
    const finding = verdict.refusal
    if (!finding) continue
    const order = RULES.findIndex((row) => row.rule === finding.rule)
    if (order < rank) {
      rank = order
      refusal = { subject, finding }
    }
  }
  return { verdicts, refusal }
}

function judgeLogRetention({ policy }: Subject): Omit<Finding, 'rule'> {
  if (!policy?.log.enabled) return holds('log backup is off')
  const { retentionDays } = policy.log
  const evidence = `log retention ${retentionDays} d, data retention ${policy.dataRetentionDays} d`
  return check(retentionDays < policy.dataRetentionDays, evidence, 'policy')
}

function judgeAge({ policy, set, now }: Subject): Omit<Finding, 'rule'> {
  const finishedAt = set?.finishedAt ?? now
  const neededDays = policy?.log.enabled ? policy.log.retentionDays : AGE_WITHOUT_LOGS_DAYS
  const neededMs = neededDays * DAY_MS
  const ageMs = now - finishedAt
  const evidence =
    `retained ${formatSpan(ageMs)}, needs more than ${neededDays} d` +
    (policy?.log.enabled ? ' (the log retention)' : ' (log backup is off)')
  if (ageMs > neededMs) return holds(evidence)
  const at = instant(finishedAt + neededMs + 1)
  return {
    holds: false,
    evidence: `${evidence}; deletable from ${isoMilliseconds(at)}`,
    changes: { by: 'time', at },
  }
}

function binding(cause: Cause): readonly RuleRow[] {
  return RULES.filter((row) => row.binds.includes(cause))
}

function holds(evidence: string): Omit<Finding, 'rule'> {
  return { holds: true, evidence, changes: { by: 'nothing' } }
}

function fails(evidence: string, by: 'policy' | 'state' | 'nothing'): Omit<Finding, 'rule'> {
  return { holds: false, evidence, changes: { by } }
}

function check(condition: boolean, evidence: string, by: 'policy' | 'state' | 'nothing') {
  return condition ? holds(evidence) : fails(evidence, by)
}
