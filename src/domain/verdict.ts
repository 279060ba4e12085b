import type { Instant } from '../base/clock.ts'

/**
 * The rules of deletion, as they are shown to people. Their numbers and sources are in
 * docs/spec/deletion.md.
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
  | 'set-not-held'
  | 'set-not-restoring'
  | 'log-retention-shorter'
  | 'set-old-enough'
  | 'retention-over'
  | 'backups-succeed'
  | 'newest-good-set'
  | 'log-window-anchor'
  | 'minimum-sets'
  | 'restore-window'

/** Why a deletion is asked: the vendor's rules bind only what is done by hand. */
export type Cause = 'by-hand' | 'expiry' | 'instance-removal'

/** What would change a refusal. */
export type Change =
  | { readonly by: 'time'; readonly at: Instant }
  | { readonly by: 'policy' | 'state' | 'hold' | 'nothing' }

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
  /** What would make it deletable, all failing rules taken together; null when it is. */
  readonly changes: Change | null
}

/** What a rule finds, before its name is put to it. */
export type Found = Omit<Finding, 'rule'>

type Fixed = Exclude<Change['by'], 'time'>

export function holds(evidence: string): Found {
  return { holds: true, evidence, changes: { by: 'nothing' } }
}

export function fails(evidence: string, by: Fixed): Found {
  return { holds: false, evidence, changes: { by } }
}

/** Fails now, and holds from `at` on. */
export function failsUntil(evidence: string, at: Instant): Found {
  return { holds: false, evidence, changes: { by: 'time', at } }
}

export function check(condition: boolean, evidence: string, by: Fixed): Found {
  return condition ? holds(evidence) : fails(evidence, by)
}

/**
 * The first failing rule refuses, but all of them must come to hold: time alone is enough only if it
 * is for each, and then the latest instant counts. What nothing changes outweighs the rest.
 */
export function verdictOf(findings: readonly Finding[]): Verdict {
  const failing = findings.filter((finding) => !finding.holds)
  const refusal = failing[0] ?? null
  if (refusal === null) return { findings, refusal, changes: null }
  const changes = failing.map((finding) => finding.changes)
  const fixed =
    changes.find((change) => change.by === 'nothing') ??
    changes.find((change) => change.by !== 'time')
  return { findings, refusal, changes: fixed ?? latestOf(changes, refusal.changes) }
}

function latestOf(changes: readonly Change[], first: Change): Change {
  return changes.reduce(
    (latest, change) =>
      change.by === 'time' && latest.by === 'time' && change.at > latest.at ? change : latest,
    first,
  )
}
