import { DAY_MS } from '../base/clock.ts'
import type { BackupPolicy } from './instance.ts'
import { WEEK } from './schedule.ts'

/** Something that a person who is not looking has to hear of, or what ends it. */
export type EventKind =
  | 'backup-finished'
  | 'backup-failed'
  | 'backup-overdue'
  | 'backup-overdue-ended'
  | 'disk-low'
  | 'disk-low-ended'
  | 'instance-lost'
  | 'instance-back'
  | 'standby-lost'
  | 'standby-back'
  | 'primary-moved'
  | 'damage-found'
  | 'expiry-stopped'
  | 'expiry-stopped-ended'
  | 'receipts-broken'
  | 'receipts-broken-ended'
  | 'call-refused'

/** `critical`: backups or their bytes are in danger now. `warning`: they will be. `info`: good news. */
export type Severity = 'critical' | 'warning' | 'info'

/** What is told of an event besides its kind: plain values, never a secret. */
export type EventDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>

const SEVERITIES: Readonly<Record<EventKind, Severity>> = {
  'backup-finished': 'info',
  'backup-failed': 'critical',
  'backup-overdue': 'critical',
  'backup-overdue-ended': 'info',
  'disk-low': 'critical',
  'disk-low-ended': 'info',
  'instance-lost': 'critical',
  'instance-back': 'info',
  'standby-lost': 'warning',
  'standby-back': 'info',
  'primary-moved': 'warning',
  'damage-found': 'critical',
  'expiry-stopped': 'warning',
  'expiry-stopped-ended': 'info',
  'receipts-broken': 'critical',
  'receipts-broken-ended': 'info',
  'call-refused': 'info',
}

export function severityOf(kind: EventKind): Severity {
  return SEVERITIES[kind]
}

/**
 * Where an event goes: a finished backup answers the dead-man's watcher, a refused call is only
 * recorded, all others are told.
 */
export type Channel = 'notification' | 'dead-man' | 'record'

export function channelOf(kind: EventKind): Channel {
  if (kind === 'backup-finished') return 'dead-man'
  return kind === 'call-refused' ? 'record' : 'notification'
}

/** One sentence for a person who sees nothing else. */
export function summarise(
  kind: EventKind,
  instanceId: string | null,
  details: EventDetails,
): string {
  const instance = instanceId ?? 'the service'
  const say = (name: string) => String(details[name] ?? 'unknown')
  const sentences: Readonly<Record<EventKind, string>> = {
    'backup-finished': `Backup set ${say('backupId')} of ${instance} was made.`,
    'backup-failed': `A backup of ${instance} failed: ${say('cause')}.`,
    'backup-overdue': `${instance} has had no successful backup since ${say('since')}.`,
    'backup-overdue-ended': `${instance} has a backup that is recent enough again.`,
    'disk-low': `${say('freeBytes')} bytes are free for ${say('folder')}, less than ${say('lowBytes')}.`,
    'disk-low-ended': `${say('freeBytes')} bytes are free for ${say('folder')}, enough again.`,
    'instance-lost': `The primary of ${instance} does not answer: ${say('findings')}.`,
    'instance-back': `The primary of ${instance} answers again.`,
    'standby-lost': `${instance} has lost a standby: ${say('findings')}.`,
    'standby-back': `All standbys of ${instance} follow its primary again.`,
    'primary-moved': `The primary of ${instance} is ${say('node')} now, on timeline ${say('timeline')}.`,
    'expiry-stopped': `Nothing of ${instance} expires, because its backups have stopped succeeding: ${say('evidence')}.`,
    'expiry-stopped-ended': `Sets of ${instance} expire again.`,
    'damage-found': `Damaged data was met during ${say('during')}: ${say('problem')}.`,
    'receipts-broken': `Receipts of ${instance} were changed or removed: ${say('problem')}.`,
    'receipts-broken-ended': 'All receipts are as they were written.',
    'call-refused': `${say('action')} on ${instance} was refused: ${say('code')}.`,
  }
  return sentences[kind]
}

/**
 * How long after the last success an instance's backup is overdue: the longest gap between two of
 * the policy's preferred days, the one over the weekend's end included, and a day.
 */
export function overdueAfterMs({ preferredPeriod }: Pick<BackupPolicy, 'preferredPeriod'>): number {
  const days = WEEK.flatMap((name, day) => (preferredPeriod.includes(name) ? [day] : []))
  const gaps = days.map((day, index) => (days[index + 1] ?? (days[0] ?? day) + 7) - day)
  return (Math.max(1, ...gaps) + 1) * DAY_MS
}
