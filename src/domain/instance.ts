import type { Instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'

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
}

/**
 * What `maxRateKib` may be: the bounds of MAX_RATE (PostgreSQL manual, "Streaming Replication
 * Protocol").
 */
export const MAX_RATE_KIB = { min: 32, max: 1_048_576 } as const

/** How long sets and logs are kept, and what that allows to be deleted by hand. */
export interface BackupPolicy {
  readonly dataRetentionDays: number
  readonly log:
    | { readonly enabled: false }
    | { readonly enabled: true; readonly retentionDays: number }
  /** `HH:mmZ-HH:mmZ`, one hour. */
  readonly preferredTime: string
  /** Names of weekdays, in the order of the week. */
  readonly preferredPeriod: readonly string[]
  /** Null as long as nobody has chosen. */
  readonly releasedKeepPolicy: ReleasedKeepPolicy | null
  /** At most so many kB (1024 bytes) a second are read from a server; null: no limit. */
  readonly maxRateKib: number | null
}

/** `deleted`: named by an accepted delete, its bytes not yet decided upon. */
export type BackupSetState = 'writing' | 'kept' | 'deleted' | 'failed'

/** What the rules need to know of one set. */
export interface BackupSetFacts {
  readonly id: BackupSetId
  readonly state: BackupSetState
  /** Service time of the end of the backup, from which its age counts; null until it ended. */
  readonly finishedAt: Instant | null
  /** A restore reads from it at this moment. */
  readonly restoring: boolean
}
