import type { Instant } from '../base/clock.ts'
import { DAY_MS, instant, isoMilliseconds } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { BackupSetId } from '../base/ids.ts'
import { formatSpan } from '../base/span.ts'
import { overdueAfterMs } from './event.ts'
import type { BackupPolicy, BackupSetFacts, HoldFacts, Instance } from './instance.ts'
import { isShorter, type KeptSets, type RecoveryTime, recoveryTime } from './kept-sets.ts'
import { CLOCK_TOLERANCE_MS } from './schedule.ts'
import {
  type Cause,
  check,
  type Finding,
  type Found,
  fails,
  failsUntil,
  holds,
  type Rule,
} from './verdict.ts'

/** What a rule may look at. `id` is as the caller wrote it; `set` is null when unknown here. */
export interface Subject {
  readonly instance: Instance | null
  readonly policy: BackupPolicy | null
  readonly id: string
  readonly set: BackupSetFacts | null
  /** Of the instance; null when it has none that the rules could ask for. */
  readonly kept: KeptSets | null
  readonly now: Instant
}

/** A subject together with all kept sets that would go with it, itself among them. */
export interface Judged extends Subject {
  readonly going: ReadonlySet<BackupSetId>
}

export interface RuleRow {
  readonly rule: Rule
  /** In docs/spec/deletion.md. */
  readonly number: `${'D' | 'E' | 'P'}${number}`
  /** About the instance alone, about one set, or about all sets of a request together. */
  readonly about: 'instance' | 'set' | 'batch'
  readonly binds: readonly Cause[]
  /** Later rules speak of what this one found missing: they are not asked when it fails. */
  readonly last?: true
  readonly judge: (judged: Judged) => Found
}

/** With log backup off no restore to a time is possible and any set older than this may go. */
const AGE_WITHOUT_LOGS_DAYS = 7

const BY_HAND: readonly Cause[] = ['by-hand']
const EXPIRY: readonly Cause[] = ['expiry']
const ALWAYS: readonly Cause[] = ['by-hand', 'expiry', 'instance-removal']

const INSTANCE_RULES: readonly RuleRow[] = [
  {
    rule: 'instance-known',
    number: 'D1',
    about: 'instance',
    binds: ALWAYS,
    last: true,
    judge: ({ instance }) =>
      instance ? holds('the instance exists') : fails('no such instance', 'nothing'),
  },
  {
    rule: 'instance-writable',
    number: 'D2',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      check(instance?.type !== 'Readonly', `instance type ${instance?.type}`, 'nothing'),
  },
  {
    rule: 'instance-unlocked',
    number: 'D3',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      check(instance?.lockMode === 'Unlock', `lock mode ${instance?.lockMode}`, 'state'),
  },
  {
    rule: 'instance-running',
    number: 'D4',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance }) =>
      released(instance) ??
      check(instance?.status === 'Running', `instance status ${instance?.status}`, 'state'),
  },
  {
    rule: 'engine-supported',
    number: 'D5',
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
    number: 'D6',
    about: 'instance',
    binds: BY_HAND,
    judge: ({ instance, policy }) => released(instance) ?? judgeCategory(instance, policy),
  },
]

const SET_RULES: readonly RuleRow[] = [
  {
    rule: 'set-known',
    number: 'D7',
    about: 'set',
    binds: ALWAYS,
    last: true,
    judge: ({ set }) =>
      set && set.state !== 'deleted' && set.state !== 'writing'
        ? holds('the set is one of this instance')
        : fails('this instance has no such backup set', 'nothing'),
  },
  {
    rule: 'set-finished',
    number: 'D8',
    about: 'set',
    binds: ALWAYS,
    last: true,
    judge: ({ set }) =>
      set?.state === 'failed'
        ? fails(
            'the run failed: it holds no data and leaves the list by itself 7 d after it ended',
            'nothing',
          )
        : holds('the backup succeeded'),
  },
  { rule: 'set-not-held', number: 'P1', about: 'set', binds: ALWAYS, judge: judgeHolds },
  {
    rule: 'set-not-restoring',
    number: 'D9',
    about: 'set',
    binds: ALWAYS,
    judge: ({ set }) =>
      set?.restoring
        ? fails('a restore reads from the set at this moment', 'state')
        : holds('no restore reads from the set'),
  },
  {
    rule: 'log-retention-shorter',
    number: 'D10',
    about: 'set',
    binds: BY_HAND,
    judge: judgeLogRetention,
  },
  { rule: 'set-old-enough', number: 'D11', about: 'set', binds: BY_HAND, judge: judgeAge },
  { rule: 'retention-over', number: 'E1', about: 'set', binds: EXPIRY, judge: judgeRetention },
  { rule: 'backups-succeed', number: 'E2', about: 'set', binds: EXPIRY, judge: judgeSuccess },
  {
    rule: 'newest-good-set',
    number: 'E3',
    about: 'set',
    binds: EXPIRY,
    judge: ({ instance, set, kept }) =>
      released(instance) ??
      (kept?.newestId === set?.id
        ? fails('it is the newest good set', 'state')
        : holds('there is a newer good set')),
  },
  {
    rule: 'log-window-anchor',
    number: 'E4',
    about: 'set',
    binds: EXPIRY,
    judge: ({ instance, set, kept }) =>
      released(instance) ??
      (kept?.anchorId === set?.id
        ? fails('the log window begins with a restore from it', 'state')
        : holds('no log window begins with a restore from it')),
  },
]

const BATCH_RULES: readonly RuleRow[] = [
  {
    rule: 'minimum-sets',
    number: 'P2',
    about: 'batch',
    binds: ['by-hand', 'expiry'],
    judge: judgeMinimum,
  },
  { rule: 'restore-window', number: 'P3', about: 'batch', binds: BY_HAND, judge: judgeWindow },
]

/** In order: the first rule that fails is the refusal. */
export const RULES: readonly RuleRow[] = [...INSTANCE_RULES, ...SET_RULES, ...BATCH_RULES]

function rowOf(rule: Rule): RuleRow {
  const row = RULES.find((one) => one.rule === rule)
  invariant(row, `${rule} is a row of the table`)
  return row
}

/** D1, P2 …: the rule's number in docs/spec/deletion.md. */
export function ruleNumber(rule: Rule): string {
  return rowOf(rule).number
}

/** Number and name, as messages, replies and receipts have them: `D11 set-old-enough`. */
export function ruleName(rule: Rule): string {
  return `${ruleNumber(rule)} ${rule}`
}

/** Whether it is about one set, and neither about its instance nor about all sets together. */
export function isOfSet({ rule }: Finding): boolean {
  return rowOf(rule).about === 'set'
}

/**
 * A released instance has no server to be asked, no category, and nobody who could change its policy:
 * what protects a living instance's sets as a whole has ended, and only holds still do.
 */
function released(instance: Instance | null): Found | null {
  return instance?.status === 'Released' ? holds('the instance was released') : null
}

function judgeCategory(instance: Instance | null, policy: BackupPolicy | null): Found {
  const category = `category ${instance?.category}`
  if (instance?.category === 'HighAvailability') return holds(category)
  if (policy?.allowManualDelete) return holds(`${category}, AllowManualDelete is on`)
  return fails(`${category}, needs HighAvailability; AllowManualDelete is off`, 'policy')
}

function judgeHolds({ set, now }: Judged): Found {
  const held = (set?.holds ?? []).filter(({ until }) => until === null || until > now)
  if (held.length === 0) return holds('no hold')
  const evidence = held.map(describeHold).join('; ')
  const until = held.map((hold) => hold.until)
  const open = until.includes(null)
  if (open) return fails(evidence, 'hold')
  return failsUntil(evidence, instant(Math.max(...until.map(Number))))
}

function describeHold({ id, reason, until }: HoldFacts): string {
  const end = until === null ? 'it is released' : isoMilliseconds(until)
  return `hold ${id} (${reason}) until ${end}`
}

function judgeLogRetention({ instance, policy }: Judged): Found {
  if (!policy?.log.enabled) return holds('log backup is off')
  const { retentionDays } = policy.log
  const evidence = `log retention ${retentionDays} d, data retention ${policy.dataRetentionDays} d`
  const by = instance?.status === 'Released' ? 'nothing' : 'policy'
  return check(retentionDays < policy.dataRetentionDays, evidence, by)
}

function judgeAge({ policy, set, now }: Judged): Found {
  const days = policy?.log.enabled ? policy.log.retentionDays : AGE_WITHOUT_LOGS_DAYS
  const why = policy?.log.enabled ? 'the log retention' : 'log backup is off'
  return olderThan(set?.finishedAt ?? now, days, why, 'deletable', now)
}

/** Counted from the latest of the set's end, its undelete and the release of its instance. */
function judgeRetention({ instance, policy, set, now }: Judged): Found {
  const from = Math.max(set?.finishedAt ?? now, set?.retainedFrom ?? 0, instance?.releasedAt ?? 0)
  const days = policy?.dataRetentionDays ?? 0
  return olderThan(instant(from), days, 'the data retention', 'expires', now)
}

/** Strictly older: a set of exactly so many days stays. */
function olderThan(from: Instant, days: number, why: string, what: string, now: Instant): Found {
  const neededMs = days * DAY_MS
  const evidence = `retained ${formatSpan(now - from)}, needs more than ${days} d (${why})`
  if (now - from > neededMs) return holds(evidence)
  const at = instant(from + neededMs + 1)
  return failsUntil(`${evidence}; ${what} from ${isoMilliseconds(at)}`, at)
}

/** When sets stop succeeding, retention stops too: what is kept may be all there will ever be. */
function judgeSuccess({ instance, policy, kept, now }: Judged): Found {
  const ended = released(instance)
  if (ended !== null || policy === null) return ended ?? holds('there is no policy')
  const limitMs = overdueAfterMs(policy)
  const last = kept?.lastSuccessAt ?? null
  if (last === null) return fails('no backup has succeeded', 'state')
  const evidence =
    `the last backup that succeeded ended ${formatSpan(now - last)} ago, ` +
    `the schedule explains ${formatSpan(limitMs)}`
  // A success that is stamped in the future says nothing about the present.
  const known = last - now <= CLOCK_TOLERANCE_MS
  return check(known && now - last <= limitMs, evidence, 'state')
}

function judgeMinimum({ instance, policy, kept, going }: Judged): Found {
  const ended = released(instance)
  if (ended) return ended
  const minimum = policy?.minimumBackupSets ?? null
  if (minimum === null) return holds('MinimumBackupSets is off')
  const count = kept?.count ?? 0
  const left = count - going.size
  const evidence = `${count} sets are kept, ${left} would be left, MinimumBackupSets is ${minimum}`
  return check(left >= minimum, evidence, 'policy')
}

function judgeWindow({ instance, policy, kept, going }: Judged): Found {
  const ended = released(instance)
  if (ended) return ended
  if (!policy?.restoreWindowProtection) return holds('RestoreWindowProtection is off')
  if (kept === null) return holds('nothing can be restored')
  const before = recoveryTime(kept)
  const after = recoveryTime(kept, going)
  const anchor = kept.anchorId !== null && going.has(kept.anchorId)
  const evidence =
    `available recovery time ${describeTime(before)}, afterwards ${describeTime(after)}` +
    (anchor ? ' and the log window loses the set that it begins with' : '') +
    '; RestoreWindowProtection is on'
  return check(!isShorter(after, before) && !anchor, evidence, 'policy')
}

function describeTime(time: RecoveryTime | null): string {
  return time === null ? 'none' : `${isoMilliseconds(time.begin)} to ${isoMilliseconds(time.end)}`
}
