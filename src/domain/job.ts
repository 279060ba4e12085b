import type { BackupSetId, InstanceId, JobId } from '../base/ids.ts'
import type { ReleasedKeepPolicy } from './instance.ts'
import type { Actor } from './receipt.ts'

/** Work that ends, by kind, with what it needs to be told. The row in the catalogue is the truth. */
export interface JobParameters {
  'create-local-instance': Record<string, never>
  /** Inspects the servers of an instance that is to be attached. */
  'attach-instance': Record<string, never>
  /** Ends an instance; what its policy keeps of its sets outlives it. */
  'remove-instance': RemoveParameters
  'take-backup': { readonly mode: 'Manual' | 'Automated' }
  /** Decides that the bytes of deleted sets go (rule R2), then gives them back. */
  'purge-sets': Record<string, never>
}

export interface RemoveParameters {
  readonly keep: ReleasedKeepPolicy
  /** Who asked, for the record of deleted sets. */
  readonly actor: Actor
}

export type JobKind = keyof JobParameters

export type JobRequest = {
  [K in JobKind]: {
    readonly kind: K
    readonly instanceId: InstanceId
    readonly parameters: JobParameters[K]
    /** The API request that asked for it; null when the service itself did. */
    readonly requestId: string | null
  }
}[JobKind]

/** Asks for the purge of an instance's deleted sets that are due. */
export function purgeRequest(instanceId: InstanceId, requestId: string | null): JobRequest {
  return { kind: 'purge-sets', instanceId, parameters: {}, requestId }
}

export type JobState = 'queued' | 'running' | 'finished' | 'failed' | 'cancelled'

/** Proof that this run is the latest one of its job; checked in every transaction of the job. */
export interface Attempt {
  readonly jobId: JobId
  readonly number: number
}

export interface JobProgress {
  readonly doneBytes: number
  readonly ofBytes: number | null
}

/** A job as it is listed. */
export interface JobRecord {
  readonly id: JobId
  readonly kind: JobKind
  readonly instanceId: InstanceId
  readonly state: JobState
  readonly phase: string
  readonly progress: JobProgress
  readonly backupSetId: BackupSetId | null
  /** Why it failed, for people; null otherwise. */
  readonly cause: string | null
  readonly mode: 'Manual' | 'Automated'
}
