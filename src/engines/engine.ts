import type { Instant } from '../base/clock.ts'
import type { TreeEntry } from '../base/file-tree.ts'
import type { Secret } from '../base/secret.ts'
import type { TlsSettings } from '../base/tls-settings.ts'
import type { ServerProblem } from '../domain/attaching.ts'
import type { RunningServer } from '../servers/running-server.ts'

/** One database server of an instance, as the engine reaches it. */
export interface Endpoint {
  readonly role: 'primary' | 'standby'
  /** Stable name of the node, shown as HostInstanceID. */
  readonly node: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Secret<string>
  /** The database that SQL is asked in. */
  readonly database: string
  readonly tls: TlsSettings
}

export interface Source {
  readonly endpoints: readonly Endpoint[]
  /** The cluster that every server must belong to; null as long as it is not known. */
  readonly systemIdentifier: string | null
}

/** Known only when all entries were read: PostgreSQL's manifest comes last. */
export interface SetDescription {
  /** Database time (not service time) at which the set is consistent. */
  readonly consistentAt: Instant
  /** The node the set was read from. */
  readonly node: string
  readonly role: 'primary' | 'standby'
  /** What the engine needs to restore and check the set; JSON, kept in the manifest for rebuild. */
  readonly engineState: EngineState
}

export interface EngineState {
  readonly engine: 'PostgreSQL'
  readonly serverVersion: string
  readonly serverVersionNumber: number
  readonly systemIdentifier: string
  readonly timeline: number
  readonly startLsn: string
  readonly endLsn: string
  readonly walSegmentBytes: number
  /** Tablespaces other than the default ones. */
  readonly tablespaces: readonly { readonly oid: number; readonly location: string }[]
  /** Settings that recovery depends on (`max_connections` …), plus locale and preload libraries. */
  readonly settings: Readonly<Record<string, string>>
}

/** `entries` may be read once; `finish` after its end. Disposing at any time ends the connections. */
export interface BackupStream extends AsyncDisposable {
  readonly entries: AsyncIterable<TreeEntry>
  /** Estimate of the content in bytes, for progress; null when the server does not tell. */
  readonly estimatedBytes: number | null
  /** Why a standby was passed over when the server to read from was chosen; for people. */
  readonly findings: readonly string[]
  /** Throws Fault 'corrupt' unless every byte read matched the server's manifest. */
  finish(signal: AbortSignal): Promise<SetDescription>
}

export interface BackupOptions {
  /** An empty folder of this attempt, for spooling WAL; the caller removes it. */
  readonly scratchDirectory: string
  readonly label: string
  /** At most so many kB (1024 bytes) in a second, as MAX_RATE of BASE_BACKUP; null: no limit. */
  readonly maxRateKib: number | null
  /** `spread`: the server takes its time for the checkpoint at the start, as it does by itself. */
  readonly checkpoint: 'fast' | 'spread'
}

export interface Engine {
  /**
   * Opens a backup from a healthy standby, else the primary. A standby is healthy when it streams
   * from that primary and has replayed, within a bounded wait, what the primary had flushed when
   * the backup was asked for: so a set holds every transaction committed before it was asked for.
   */
  openBackup(source: Source, options: BackupOptions, signal: AbortSignal): Promise<BackupStream>
  /**
   * After the files are in place: makes the directory an independent, startable server. Gives what
   * whoever starts it should know, such as settings that lead out of the directory; for people.
   */
  prepareRestored(
    directory: string,
    state: EngineState,
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /**
   * Own verifier: every file against the manifest in `directory`; a file that the manifest does not
   * name is a finding, unless `mayHold` does. `progress` is told of each piece as it is read.
   */
  verifyRestored(
    directory: string,
    signal: AbortSignal,
    progress?: (bytes: number) => void,
    mayHold?: readonly string[],
  ): Promise<{ readonly files: number; readonly bytes: number }>
  /** Running = the primary answers SQL and is not in recovery. Bounded by a timeout of its own. */
  probe(source: Source, signal: AbortSignal): Promise<ProbeResult>
  /**
   * Looks at every server of an instance that is to be attached, and finds everything that stands in
   * the way of backups at once. Changes nothing there and leaves nothing behind.
   */
  inspect(source: Source, signal: AbortSignal): Promise<Inspection>
}

/** `facts` is null when the primary could not be asked. */
export interface Inspection {
  readonly problems: readonly ServerProblem[]
  readonly facts: ClusterFacts | null
}

export interface ClusterFacts {
  /** As the server says it, such as `16.14`. */
  readonly version: string
  readonly majorVersion: string
  /** 64 bits, in decimal. */
  readonly systemIdentifier: string
  readonly timeline: number
}

export interface ProbeResult {
  readonly running: boolean
  /** The node that is primary now, on the latest timeline; null when there is none, or two claim it. */
  readonly primary: { readonly node: string; readonly timeline: number } | null
  /** Why not, or what is degraded (a lost standby); for people. */
  readonly findings: readonly string[]
}

/** Runs servers on this host for local instances. Everything is repeatable after a crash. */
export interface LocalEngine {
  /** initdb, passwords, loopback-only scram access. An existing finished one is kept as it is. */
  createPrimary(plan: LocalServerPlan, signal: AbortSignal): Promise<void>
  /** A streaming standby of the running primary. An existing finished one is kept as it is. */
  createStandby(
    plan: LocalServerPlan,
    primary: Endpoint,
    scratchDirectory: string,
    signal: AbortSignal,
  ): Promise<void>
  /** Starts (first stopping what an earlier, killed service left running on that directory). */
  start(plan: LocalServerPlan, signal: AbortSignal): Promise<RunningServer>
  /** Removes a stopped server: its data directory and the files beside it. */
  remove(directory: string): Promise<void>
}

export interface LocalServerPlan {
  readonly version: string
  readonly role: 'primary' | 'standby'
  readonly directory: string
  readonly port: number
  readonly user: string
  readonly password: Secret<string>
  readonly primaryPort: number | null
  readonly node: string
}

export interface EngineParts {
  readonly engine: Engine
  readonly local: LocalEngine | null
}
