import type { Logger } from '../base/logger.ts'
import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { Sealer } from '../base/sealing.ts'
import type { Catalogue } from '../catalogue/database.ts'
import type { Queue } from '../catalogue/queue.ts'

/** What operations are made from; each one names the members it needs. */
export interface OperationParts {
  readonly catalogue: Catalogue
  readonly queue: Queue
  readonly sealer: Sealer
  readonly receipts: ReceiptChain
  readonly region: string
  /** Major versions of PostgreSQL that can run here. */
  readonly engineVersions: readonly string[]
  /** How long a deleted set can be brought back, in service time; 0: not at all. */
  readonly undeleteWindowMs: number
  readonly log: Logger
}
