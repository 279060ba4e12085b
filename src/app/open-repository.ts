import { availableParallelism } from 'node:os'
import { Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { createLedger, recordHeader } from '../catalogue/ledger.ts'
import { recordRepository } from '../catalogue/settings.ts'
import type { Config } from '../config/config.ts'
import { openCodecPool } from '../repository/codec-pool.ts'
import { initialiseRepository } from '../repository/header.ts'
import { openRepository } from '../repository/open-repository.ts'
import type { Repository } from '../repository/repository.ts'
import { openFileStorage } from '../storage/file-storage.ts'
import type { Storage } from '../storage/storage.ts'
import type { DataFolder } from './data-folder.ts'

export interface Stores extends AsyncDisposable {
  readonly storage: Storage
  readonly repository: Repository
}

/** More threads than this only wait: a stream from one server does not fill them. */
const CODEC_THREADS_MAX = 4

/** Opens the storage and the repository in it, making both at the first start. */
export async function openStores(
  config: Config,
  folder: DataFolder,
  catalogue: Catalogue,
  log: Logger,
  signal: AbortSignal,
): Promise<Stores> {
  await using stack = new AsyncDisposableStack()
  const storage = stack.use(await openFileStorage(config.storageDirectory))
  const header = await initialiseRepository(storage, signal)
  const known = await catalogue.transaction(async (tx) => {
    const id = await recordRepository(tx, header.repositoryId)
    if (id === header.repositoryId) await recordHeader(tx, header.name, header.objectBytes)
    return id
  })
  if (known !== header.repositoryId) {
    throw new Fault('unfit', `${config.storageDirectory} holds another repository`, {
      hint: 'set HOLDFAST_STORAGE to the folder that this data folder was made with',
    })
  }
  const threads = Math.min(CODEC_THREADS_MAX, availableParallelism())
  const codec = stack.use(openCodecPool({ threads, slots: 2 * threads }))
  const repository = stack.use(
    await openRepository(storage, createLedger(catalogue), codec, {
      scratchDirectory: folder.scratch,
      log,
    }),
  )
  const resources = stack.move()
  return { storage, repository, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
