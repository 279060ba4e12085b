import { type Instant, isoMilliseconds } from '../base/clock.ts'
import { isOfSet, ruleName, type Subject } from './deletion-rules.ts'
import type { BackupPolicy } from './instance.ts'
import type { ReceiptDetails } from './receipt.ts'
import type { Cause, Finding, Verdict } from './verdict.ts'

interface Judged {
  readonly subject: Subject
  readonly verdict: Verdict
}

interface Predicted {
  readonly releasedBytes: number
  readonly freedBytes: number
  readonly exact: boolean
}

/**
 * A removed instance may have thousands of sets, about which its rules find the same: that they are its
 * own, and that nobody holds or reads them.
 */
const VERDICTS_MAX = 100

/** A receipt's body is short (`bodyOf`), and a removal must not fail for the length of its list. */
const LISTED_MAX = 10_000

/** What a receipt of a deletion says: which sets, why they could go, and what that will give back. */
export function deletionDetails(
  cause: Cause,
  judged: readonly Judged[],
  predicted: Predicted,
  purgeAfter: Instant,
): ReceiptDetails {
  const isWindow = purgeAfter > 0
  return {
    cause,
    ...listedSets(judged.map(({ subject }) => subject.id)),
    undeleteExpireTime: isWindow ? isoMilliseconds(purgeAfter) : null,
    // What happens while a window lasts can change the bytes.
    ...predictedDetails({ ...predicted, exact: predicted.exact && !isWindow }),
    ...verdictDetails(judged),
  }
}

/**
 * What a receipt of an undelete says: which sets, what DeleteBackup would say of each of them now, and
 * what the purge would have given back that does not come any more.
 */
export function undeleteDetails(judged: readonly Judged[], predicted: Predicted): ReceiptDetails {
  return {
    ...listedSets(judged.map(({ subject }) => subject.id)),
    ...predictedDetails(predicted),
    ...verdictDetails(judged),
  }
}

function verdictDetails(judged: readonly Judged[]): ReceiptDetails {
  const findings = judged[0]?.verdict.findings ?? []
  return {
    // What is about the instance is the same for each of them.
    verdict: evidenceOf(findings.filter((finding) => !isOfSet(finding))),
    verdicts:
      judged.length > VERDICTS_MAX
        ? []
        : judged.map(({ subject, verdict }) => ({
            backupId: subject.id,
            ...evidenceOf(verdict.findings.filter(isOfSet)),
          })),
  }
}

/** The sets that a receipt is about: beyond 10,000 the first of them, and how many they are. */
export function listedSets(ids: readonly string[]): ReceiptDetails {
  if (ids.length <= LISTED_MAX) return { backupIds: ids }
  return { backupIds: ids.slice(0, LISTED_MAX), backupCount: ids.length }
}

export function predictedDetails({ releasedBytes, freedBytes, exact }: Predicted): ReceiptDetails {
  return {
    predictedReleasedBytes: releasedBytes,
    predictedFreedBytes: freedBytes,
    bytesExact: exact,
  }
}

/** `{"D11 set-old-enough": "retained 8 d, …"}`. */
function evidenceOf(findings: readonly Finding[]): ReceiptDetails {
  return Object.fromEntries(findings.map(({ rule, evidence }) => [ruleName(rule), evidence]))
}

/** A policy as receipts have it, by the names of the API. */
export function policyDetails(policy: BackupPolicy): ReceiptDetails {
  return {
    BackupRetentionPeriod: policy.dataRetentionDays,
    BackupLog: policy.log.enabled,
    LogBackupRetentionPeriod: policy.log.retentionDays,
    PreferredBackupTime: policy.preferredTime,
    PreferredBackupPeriod: policy.preferredPeriod.join(','),
    ReleasedKeepPolicy: policy.releasedKeepPolicy,
    MaxRate: policy.maxRateKib,
    RestoreWindowProtection: policy.restoreWindowProtection,
    MinimumBackupSets: policy.minimumBackupSets,
    AllowManualDelete: policy.allowManualDelete,
  }
}
