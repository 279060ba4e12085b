import type { Instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { type Judged, RULES, type RuleRow, type Subject } from './deletion-rules.ts'
import type { BackupPolicy, Instance } from './instance.ts'
import { type Cause, type Finding, type Verdict, verdictOf } from './verdict.ts'

const NOBODY: ReadonlySet<BackupSetId> = new Set()

/** One set alone, as StoreStatus shows it. */
export function judgeSet(subject: Subject, cause: Cause): Verdict {
  return judgeBy(binding(cause), { ...subject, going: goingWith(NOBODY, subject) })
}

/** The instance's rules alone; they come before any look at the sets that a request names. */
export function judgeInstance(
  instance: Instance | null,
  policy: BackupPolicy | null,
  now: Instant,
  cause: Cause,
): Verdict {
  const rows = binding(cause).filter((row) => row.about === 'instance')
  return judgeBy(rows, { instance, policy, id: '', set: null, kept: null, now, going: NOBODY })
}

export interface BatchVerdict {
  readonly verdicts: readonly { readonly subject: Subject; readonly verdict: Verdict }[]
  /**
   * The first failing rule in rule order, then in the order of the subjects. `subject` is null when
   * it is not about one of them, but about all together.
   */
  readonly refusal: { readonly subject: Subject | null; readonly finding: Finding } | null
}

/**
 * All sets of one request together: one that must stay refuses them all. What the batch would leave
 * is judged by those that their own rules let go.
 */
export function judgeDeletion(subjects: readonly Subject[], cause: Cause): BatchVerdict {
  const alone = binding(cause).filter((row) => row.about !== 'batch')
  const free = subjects.filter(
    (subject) => judgeBy(alone, { ...subject, going: NOBODY }).refusal === null,
  )
  const going = new Set(free.flatMap(({ set }) => (set?.state === 'kept' ? [set.id] : [])))
  const verdicts = subjects.map((subject) => {
    const judged = { ...subject, going: goingWith(going, subject) }
    return { subject, verdict: judgeBy(binding(cause), judged) }
  })
  let refusal: BatchVerdict['refusal'] = null
  let rank = RULES.length
  for (const { subject, verdict } of verdicts) {
    const finding = verdict.refusal
    if (!finding) continue
    const order = RULES.findIndex((row) => row.rule === finding.rule)
    if (order >= rank) continue
    rank = order
    refusal = { subject: RULES[order]?.about === 'batch' ? null : subject, finding }
  }
  return { verdicts, refusal }
}

/**
 * Of `subjects`, in their order, those that may go together: each is judged with all that were taken
 * before it, so that what must be left is left. For causes that delete what they can.
 */
export function chooseDeletable(subjects: readonly Subject[], cause: Cause): readonly Subject[] {
  const going = new Set<BackupSetId>()
  return subjects.filter((subject) => {
    const judged = { ...subject, going: goingWith(going, subject) }
    if (judgeBy(binding(cause), judged).refusal !== null) return false
    if (subject.set) going.add(subject.set.id)
    return true
  })
}

function goingWith(going: ReadonlySet<BackupSetId>, { set }: Subject): ReadonlySet<BackupSetId> {
  if (set?.state !== 'kept' || going.has(set.id)) return going
  return new Set(going).add(set.id)
}

function judgeBy(rows: readonly RuleRow[], judged: Judged): Verdict {
  const findings: Finding[] = []
  for (const { rule, judge, last } of rows) {
    const finding = { rule, ...judge(judged) }
    findings.push(finding)
    if (last && !finding.holds) break
  }
  return verdictOf(findings)
}

function binding(cause: Cause): readonly RuleRow[] {
  return RULES.filter((row) => row.binds.includes(cause))
}
