import type { Instant } from '../base/clock.ts'
import type { BackupSetId, HoldId, InstanceId } from '../base/ids.ts'

export type Category = 'HighAvailability' | 'Basic'
export type InstanceType = 'Primary' | 'Readonly' | 'Guard'
/** RDS's instance states that this service uses; `Stopped`: its primary does not answer SQL. */
export type InstanceStatus = 'Creating' | 'Running' | 'Stopped' | 'Deleting' | 'Released'
/** Who runs its servers: this service on its own host, or someone else. */
export type Origin = 'local' | 'attached'
/** Which sets outlive the instance: none, the latest (the vendor's spelling), all. */
export type ReleasedKeepPolicy = 'None' | 'Lastest' | 'All'

/** One database service: a primary, its standbys, its own backup sets. */
export interface Instance {
  readonly id: InstanceId
  readonly engine: string
  readonly engineVersion: string
  readonly category: Category
  readonly type: InstanceType
  readonly status: InstanceStatus
  /** RDS's lock modes; only `Unlock` allows changes. */
  readonly lockMode: string
  readonly description: string
  readonly origin: Origin
  /** The instance that a read-only or disaster recovery instance follows; null on a primary one. */
  readonly masterId: InstanceId | null
  /** The cluster that an attached instance's servers belong to, 64 bits in decimal. */
  readonly systemIdentifier: string | null
  /** The timeline that its primary was last seen on; null as long as nobody has looked. */
  readonly timeline: number | null
  /** Deleting the instance is refused while it is on. */
  readonly deletionProtection: boolean
  readonly createdAt: Instant
  /** When it was deleted or detached; null on a live one. */
  readonly releasedAt: Instant | null
}

/**
 * What `maxRateKib` may be: the bounds of MAX_RATE (PostgreSQL manual, "Streaming Replication
 * Protocol").
 */
export const MAX_RATE_KIB = { min: 32, max: 1_048_576 } as const

/** How long sets and logs are kept, and what that allows to be deleted by hand. */
export interface BackupPolicy {
  readonly dataRetentionDays: number
  /** The retention is kept while log backup is off, and never longer than that of data. */
  readonly log: { readonly enabled: boolean; readonly retentionDays: number }
  /** `HH:mmZ-HH:mmZ`, one hour. */
  readonly preferredTime: string
  /** Names of weekdays, in the order of the week. */
  readonly preferredPeriod: readonly string[]
  /** Null as long as nobody has chosen. */
  readonly releasedKeepPolicy: ReleasedKeepPolicy | null
  /** At most so many kB (1024 bytes) a second are read from a server; null: no limit. */
  readonly maxRateKib: number | null
  /** A deletion by hand must leave the available recovery time as long as it is. */
  readonly restoreWindowProtection: boolean
  /** Neither a deletion by hand nor expiry leaves fewer sets; null: no minimum. */
  readonly minimumBackupSets: number | null
  /** Sets of a Basic instance may be deleted by hand, which the vendor does not allow. */
  readonly allowManualDelete: boolean
}

/** Bounds of `dataRetentionDays` and of the log retention, in days (vendor: "ModifyBackupPolicy"). */
export const RETENTION_DAYS = { min: 7, max: 730 } as const

export const MINIMUM_BACKUP_SETS_MAX = 10_000

/** `deleted`: named by an accepted delete, its bytes not yet decided upon. */
export type BackupSetState = 'writing' | 'kept' | 'deleted' | 'failed'

/** What the rules need to know of one set. */
export interface BackupSetFacts {
  readonly id: BackupSetId
  readonly state: BackupSetState
  /** Service time of the end of the backup, from which its age counts; null until it ended. */
  readonly finishedAt: Instant | null
  /** Service time from which its retention counts anew, because it was undeleted; null: never was. */
  readonly retainedFrom: Instant | null
  /** A restore reads from it at this moment. */
  readonly restoring: boolean
  /** Those that nobody has released; one that has ended by its time does not count. */
  readonly holds: readonly HoldFacts[]
}

/** A wish that a set stays, whoever asks for its deletion. */
export interface HoldFacts {
  readonly id: HoldId
  readonly reason: string
  /** The instant from which it no longer holds; null: until it is released. */
  readonly until: Instant | null
}
