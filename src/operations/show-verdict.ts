import { z } from 'zod'
import { isoMilliseconds } from '../base/clock.ts'
import { isOfSet, ruleName } from '../domain/deletion-rules.ts'
import type { Verdict } from '../domain/verdict.ts'

/** How replies show a verdict. */
export const VerdictFields = {
  Deletable: z.boolean(),
  /** The first rule that refuses it, as `D11 set-old-enough`; absent when it is deletable. */
  Rule: z.string().optional(),
  /** What that rule found; of a deletable set, what the last rule about it found. */
  Evidence: z.string().optional(),
  /**
   * The first instant at which every rule lets it go; absent when it is deletable, and when time alone
   * does not change the answer.
   */
  DeletableTime: z.string().optional(),
  /** What does: `time`, `policy`, `state`, `hold`, `nothing`. Absent when it is deletable. */
  DeletableBy: z.string().optional(),
}

const Shown = z.object(VerdictFields)

export function verdictFields({ findings, refusal, changes }: Verdict): z.input<typeof Shown> {
  return {
    Deletable: refusal === null,
    ...(refusal ? { Rule: ruleName(refusal.rule) } : {}),
    Evidence: (refusal ?? findings.findLast(isOfSet))?.evidence,
    ...(changes?.by === 'time' ? { DeletableTime: isoMilliseconds(changes.at) } : {}),
    ...(changes === null ? {} : { DeletableBy: changes.by }),
  }
}
