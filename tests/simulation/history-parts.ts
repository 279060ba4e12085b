import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { sql } from 'kysely'
import { SILENT } from '../../src/base/logger.ts'
import type { Catalogue } from '../../src/catalogue/database.ts'
import { sqlOf } from '../../src/catalogue/database.ts'
import { createLedger, recordHeader } from '../../src/catalogue/ledger.ts'
import { openCodecPool } from '../../src/repository/codec-pool.ts'
import { initialiseRepository } from '../../src/repository/header.ts'
import { openRepository } from '../../src/repository/open-repository.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { openFileStorage } from '../../src/storage/file-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { openTestCatalogue } from '../../src/testing/catalogue-server.ts'

export interface HistoryParts {
  readonly catalogue: Catalogue
  readonly storage: Storage
  readonly repository: Repository
  readonly storageDirectory: string
}

export type OpenedParts = HistoryParts & AsyncDisposable

/**
 * A real catalogue and a real directory, shared by the histories of one test file. The repository is
 * made with `chunkBytes`, where it is not to be what a new one has.
 */
export async function openHistoryParts(name: string, chunkBytes?: number): Promise<OpenedParts> {
  await using stack = new AsyncDisposableStack()
  const { catalogue, folder } = stack.use(await openTestCatalogue(name))
  await catalogue.transaction(async (tx) => {
    await sql`alter role current_user set synchronous_commit = off`.execute(sqlOf(tx))
    await sql`select set_config('synchronous_commit', 'off', false)`.execute(sqlOf(tx))
  })
  const signal = new AbortController().signal
  const storageDirectory = join(folder.root, 'storage')
  const storage = stack.use(await openFileStorage(storageDirectory))
  const header = await initialiseRepository(storage, randomUUID(), signal, chunkBytes)
  await catalogue.transaction((tx) => recordHeader(tx, header.name, header.objectBytes))
  const codec = stack.use(openCodecPool({ threads: 2, slots: 4 }))
  const options = { scratchDirectory: folder.scratch, log: SILENT }
  const ledger = createLedger(catalogue)
  const repository = stack.use(await openRepository(storage, ledger, codec, options))
  const resources = stack.move()
  return {
    catalogue,
    storage,
    storageDirectory,
    repository,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
