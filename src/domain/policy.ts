import type { BackupPolicy } from './instance.ts'

/** Days that a set is kept count from here on a policy; of protections, what a change takes away. */
export function weakenedProtections(before: BackupPolicy, after: BackupPolicy): readonly string[] {
  const weakened: readonly (readonly [name: string, weaker: boolean])[] = [
    ['BackupRetentionPeriod', after.dataRetentionDays < before.dataRetentionDays],
    ['LogBackupRetentionPeriod', after.log.retentionDays < before.log.retentionDays],
    ['BackupLog', before.log.enabled && !after.log.enabled],
    ['RestoreWindowProtection', before.restoreWindowProtection && !after.restoreWindowProtection],
    ['MinimumBackupSets', (after.minimumBackupSets ?? 0) < (before.minimumBackupSets ?? 0)],
    ['AllowManualDelete', after.allowManualDelete && !before.allowManualDelete],
    ['ReleasedKeepPolicy', rankOf(after) < rankOf(before)],
  ]
  return weakened.filter(([, weaker]) => weaker).map(([name]) => name)
}

const RANKS = { None: 0, Lastest: 1, All: 2 } as const

function rankOf({ releasedKeepPolicy }: BackupPolicy): number {
  return releasedKeepPolicy === null ? 0 : RANKS[releasedKeepPolicy]
}
