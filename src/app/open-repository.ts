import { randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { createLedger, isHeaderRecorded, recordHeader } from '../catalogue/ledger.ts'
import { readRepositoryId, recordRepositoryId } from '../catalogue/settings.ts'
import type { Config } from '../config/config.ts'
import { openCodecPool } from '../repository/codec-pool.ts'
import { assertHeld, HEADER_OBJECT, initialiseRepository } from '../repository/header.ts'
import { openRepository } from '../repository/open-repository.ts'
import type { Repository } from '../repository/repository.ts'
import { openFileStorage } from '../storage/file-storage.ts'
import type { Storage } from '../storage/storage.ts'

export interface Stores extends AsyncDisposable {
  readonly storage: Storage
  readonly repository: Repository
}

/** More threads than this only wait: a stream from one server does not fill them. */
const CODEC_THREADS_MAX = 4

/** Opens the storage and the repository in it, making both at the first start. */
export async function openStores(
  config: Config,
  scratchDirectory: string,
  catalogue: Catalogue,
  log: Logger,
  signal: AbortSignal,
): Promise<Stores> {
  await using stack = new AsyncDisposableStack()
  const storage = stack.use(await openFileStorage(config.storageDirectory))
  const setting = config.database === null ? 'HOLDFAST_DATA' : 'HOLDFAST_DATABASE_URL'
  await ensureRepository(storage, catalogue, setting, signal)
  const threads = Math.min(CODEC_THREADS_MAX, availableParallelism())
  const codec = stack.use(openCodecPool({ threads, slots: 2 * threads }))
  const repository = stack.use(
    await openRepository(storage, createLedger(catalogue), codec, {
      scratchDirectory,
      log,
    }),
  )
  const resources = stack.move()
  return { storage, repository, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/**
 * Sees that the storage holds the repository that this catalogue is tied to. It is made at the first
 * start only, in a storage that holds nothing: a catalogue that does not know what is there would
 * give names out a second time. Its ID is recorded before it is written, so a killed first start
 * goes on. `setting` says where the catalogue is.
 */
async function ensureRepository(
  storage: Storage,
  catalogue: Catalogue,
  setting: string,
  signal: AbortSignal,
): Promise<void> {
  const { known, made } = await catalogue.transaction(async (tx) => ({
    known: await readRepositoryId(tx),
    made: await isHeaderRecorded(tx),
  }))
  if (known !== null && made) return assertHeld(storage, known, signal)
  const id = known ?? randomUUID()
  for await (const { name } of storage.list('', signal)) {
    if (known !== null && name === HEADER_OBJECT) break
    throw new Fault('unfit', `the storage is not empty, and the catalogue does not know it`, {
      hint: `set HOLDFAST_STORAGE to an empty folder, or ${setting} to what it belongs to`,
    })
  }
  await catalogue.transaction((tx) => recordRepositoryId(tx, id))
  // What a killed first start left of it.
  if ((await storage.size(HEADER_OBJECT, signal)) === null) {
    await storage.remove([HEADER_OBJECT], signal)
  }
  const { name, objectBytes } = await initialiseRepository(storage, id, signal)
  await assertHeld(storage, id, signal)
  await catalogue.transaction((tx) => recordHeader(tx, name, objectBytes))
}
