import type { Storage } from '../storage/storage.ts'
import type { ChunkLoader } from './chunk-loader.ts'
import type { CodecPool } from './codec-pool.ts'
import type { RepositoryHeader } from './header.ts'
import type { Ledger } from './repository.ts'

/** What an open repository works with. */
export interface Stores extends RepositoryHeader {
  readonly storage: Storage
  readonly ledger: Ledger
  readonly codec: CodecPool
  readonly loader: ChunkLoader
  /** For what does not fit into memory; each user makes and removes a folder of its own in it. */
  readonly scratchDirectory: string
}
