import type { Clock } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { Pausable } from '../base/pausable.ts'
import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { Sealer } from '../base/sealing.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import type { Outcome } from '../catalogue/jobs.ts'
import type { Queue } from '../catalogue/queue.ts'
import type { Attempt, JobKind, JobParameters } from '../domain/job.ts'
import type { EngineParts, Source } from '../engines/engine.ts'
import type { Repository } from '../repository/repository.ts'
import type { LocalServers } from './local-servers.ts'

/** One attempt at a job, as its handler sees it. */
export interface Run {
  readonly attempt: Attempt
  readonly instanceId: InstanceId
  readonly requestId: string | null
  /** Set when an earlier attempt had begun to end badly: only cleaning up is left to do. */
  readonly cause: string | null
  /** Aborts with the Fault that says why: cancelled, superseded, or the service stops. */
  readonly signal: AbortSignal
  /** The same without a cancellation: what cleans up after one must not be stopped by it. */
  readonly lastingSignal: AbortSignal
  readonly log: Logger
  /** Shown with the job, about twice a second. */
  report(phase: string, doneBytes?: number, ofBytes?: number | null): void
  /** A transaction that begins with the fence: the only kind a job gets. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /** The job's last transaction: the fence, `work`, and the end of the job, together. */
  end<T>(outcome: Outcome, work: (tx: Transaction) => Promise<T>): Promise<T>
}

/** Service time, whose offset another process may have moved. */
export interface RefreshedClock extends Clock {
  refresh(): Promise<void>
}

/** What jobs are made from; each one names the part it needs. */
export interface WorkerParts {
  readonly catalogue: Catalogue
  readonly queue: Queue
  readonly clock: RefreshedClock
  readonly repository: Repository
  readonly engines: Readonly<Record<string, EngineParts>>
  readonly localServers: LocalServers
  readonly sourceOf: (instanceId: InstanceId) => Promise<Source>
  readonly sealer: Sealer
  readonly receipts: ReceiptChain
  readonly freePorts: (count: number) => Promise<readonly number[]>
  /** How long a deleted set can be brought back, in service time; 0: not at all. */
  readonly undeleteWindowMs: number
  /** What the service does not begin by itself. */
  readonly paused: ReadonlySet<Pausable>
  readonly scratchDirectory: string
  /** Where the data directories of local instances' servers are. */
  readonly instancesDirectory: string
  /** Where this process keeps the heads of the chains of receipts. */
  readonly receiptHeadsFile: string
}

export type Job<K extends JobKind> = (
  parameters: JobParameters[K],
  run: Run,
  parts: WorkerParts,
) => Promise<void>

/** A handler for every kind, or it does not compile. */
export type Jobs = { readonly [K in JobKind]: Job<K> }

/** The one engine so far, which every instance has. */
export function postgresOf(parts: Pick<WorkerParts, 'engines'>): EngineParts {
  const postgres = parts.engines['PostgreSQL']
  invariant(postgres, 'the engine of every instance is known')
  return postgres
}
