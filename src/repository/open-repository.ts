import type { Logger } from '../base/logger.ts'
import type { Storage } from '../storage/storage.ts'
import { auditSet } from './audit.ts'
import { checkPack } from './check-pack.ts'
import { createChunkLoader } from './chunk-loader.ts'
import type { CodecPool } from './codec-pool.ts'
import { assertHeld, readHeader } from './header.ts'
import { createPackShelf } from './pack-shelf.ts'
import type { Ledger, Repository } from './repository.ts'
import { rewritePack } from './rewrite-pack.ts'
import { openSetReader } from './set-reader.ts'
import { openSetWriter } from './set-writer.ts'
import type { Stores } from './stores.ts'

interface RepositoryOptions {
  /** For spooling lists that do not fit into memory; made when needed. */
  readonly scratchDirectory: string
  readonly log: Logger
}

/**
 * Opens the repository that `initialiseRepository` has made. Storage, ledger and codec stay the
 * caller's. Faults: 'not-found' when there is none, 'unfit' when this version cannot read it.
 */
export async function openRepository(
  storage: Storage,
  ledger: Ledger,
  codec: CodecPool,
  options: RepositoryOptions,
): Promise<Repository> {
  const header = await readHeader(storage, new AbortController().signal)
  const { repositoryId, chunkBytes, hashKey } = header
  const shelf = createPackShelf(storage, ledger, header, options.log)
  const loader = createChunkLoader(storage, shelf, codec, hashKey)
  const { scratchDirectory } = options
  const stores: Stores = {
    storage,
    ledger,
    codec,
    loader,
    repositoryId,
    chunkBytes,
    hashKey,
    scratchDirectory,
  }
  return {
    id: repositoryId,
    chunkBytes,
    async writeSet(set, during) {
      await assertHeld(storage, repositoryId, during)
      return openSetWriter(stores, set, during)
    },
    readSet: (set, during) => openSetReader(stores, set, during),
    rewritePack: (step, during) => rewritePack(storage, header, step, during),
    async removeObjects(names, during) {
      await assertHeld(storage, repositoryId, during)
      await storage.remove(names, during)
    },
    checkPack: (series, pack, location, during) =>
      checkPack(storage, { owner: header, series, pack, location }, during),
    audit: (set, during) => auditSet(stores, set, during),
    async [Symbol.asyncDispose]() {},
  }
}
