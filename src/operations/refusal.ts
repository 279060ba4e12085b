import type { Finding, Rule } from '../domain/deletion.ts'
import { RULES } from '../domain/deletion.ts'

/** The error code of each rule for the actions that judge a deletion: total, or it does not compile. */
export const DELETION_CODES = {
  'instance-known': 'InvalidDBInstanceName.NotFound',
  'instance-writable': 'ReadDBInstanceNotSupport',
  'instance-unlocked': 'IncorrectDBInstanceLockMode',
  'instance-running': 'IncorrectDBInstanceState',
  'engine-supported': 'IncorrectDBInstanceType',
  'category-supported': 'IncorrectDBInstanceType',
  'set-known': 'InvalidBackupSetID.NotFound',
  'set-finished': 'OperationDenied.BackupSetDeleteNotSupport',
  'set-not-restoring': 'OperationDenied.BackupSetDeleteNotSupport',
  'log-retention-shorter': 'OperationDenied.BackupSetDeleteNotSupport',
  'set-old-enough': 'OperationDenied.BackupSetDeleteNotSupport',
} as const satisfies Readonly<Record<Rule, string>>

export type DeletionCode = (typeof DELETION_CODES)[Rule]

const ID_SHOWN_MAX = 64

/** D1, D2 …: the rule's number in docs/spec/deletion.md is its place in the table. */
export function ruleNumber(rule: Rule): string {
  return `D${RULES.findIndex((row) => row.rule === rule) + 1}`
}

/** What follows the vendor's sentence: which rule, of what, and the facts that decided it. */
export function explain(finding: Finding, setId: string | null): string {
  const subject = setId === null ? '' : `backup set ${cut(setId)}: `
  return `Rule ${ruleNumber(finding.rule)} ${finding.rule}: ${subject}${finding.evidence}`
}

/** An ID of ours is short; what someone sends instead need not come back whole. */
function cut(id: string): string {
  return id.length > ID_SHOWN_MAX ? `${id.slice(0, ID_SHOWN_MAX)}…` : id
}
