import { DAY_MS, type Instant, instant } from '../base/clock.ts'
import type { BackupPolicy } from './instance.ts'

/** Sets whose retention began before that instant are past it. */
export function retentionCutoff({ dataRetentionDays }: BackupPolicy, now: Instant): Instant {
  return instant(now - dataRetentionDays * DAY_MS)
}

/** Names of the parameters by which `after` protects less than `before`. */
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

/** As long as nobody has chosen, an instance with sets cannot be removed without saying what stays. */
function rankOf({ releasedKeepPolicy }: BackupPolicy): number {
  return releasedKeepPolicy === null ? RANKS.All + 1 : RANKS[releasedKeepPolicy]
}
