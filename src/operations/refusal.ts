import { ruleName } from '../domain/deletion-rules.ts'
import type { Finding, Rule } from '../domain/verdict.ts'

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
  'set-not-held': 'OperationDenied.BackupSetDeleteNotSupport',
  'set-not-restoring': 'OperationDenied.BackupSetDeleteNotSupport',
  'log-retention-shorter': 'OperationDenied.BackupSetDeleteNotSupport',
  'set-old-enough': 'OperationDenied.BackupSetDeleteNotSupport',
  'retention-over': 'OperationDenied.BackupSetDeleteNotSupport',
  'backups-succeed': 'OperationDenied.BackupSetDeleteNotSupport',
  'newest-good-set': 'OperationDenied.BackupSetDeleteNotSupport',
  'log-window-anchor': 'OperationDenied.BackupSetDeleteNotSupport',
  'minimum-sets': 'OperationDenied.BackupSetDeleteNotSupport',
  'restore-window': 'OperationDenied.BackupSetDeleteNotSupport',
} as const satisfies Readonly<Record<Rule, string>>

export type DeletionCode = (typeof DELETION_CODES)[Rule]

const ID_SHOWN_MAX = 64

/** What follows the vendor's sentence: which rule, of what, and the facts that decided it. */
export function explain(finding: Finding, setId: string | null): string {
  const subject = setId === null ? '' : `backup set ${cut(setId)}: `
  return `Rule ${ruleName(finding.rule)}: ${subject}${finding.evidence}`
}

/** An ID of ours is short; what someone sends instead need not come back whole. */
function cut(id: string): string {
  return id.length > ID_SHOWN_MAX ? `${id.slice(0, ID_SHOWN_MAX)}…` : id
}
