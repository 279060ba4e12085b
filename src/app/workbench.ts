import { stat } from 'node:fs/promises'
import { Fault, isFault } from '../base/fault.ts'
import type { BackupSetId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { advanceClock } from '../catalogue/settings.ts'
import type { Config } from '../config/config.ts'
import { createPostgresEngine } from '../engines/postgres/postgres-engine.ts'
import type { RestoreProgress, RestoreResult } from '../jobs/restore-set.ts'
import { restoreSet } from '../jobs/restore-set.ts'
import type { Verification } from '../jobs/verify-repository.ts'
import { verifyRepository } from '../jobs/verify-repository.ts'
import type { ServerUser } from '../servers/server-user.ts'
import { resolveServerUser } from '../servers/server-user.ts'
import type { DataFolder } from './data-folder.ts'
import { lockDataFolder, openDataFolder } from './data-folder.ts'
import { joinCatalogue, startCatalogue } from './open-catalogue.ts'
import { openStores } from './open-repository.ts'

/** What operator commands can do: the same functions as the service's own. */
export interface Workbench extends AsyncDisposable {
  restore(
    setId: BackupSetId,
    directory: string,
    signal: AbortSignal,
    onProgress: (progress: RestoreProgress) => void,
  ): Promise<RestoreResult>
  verify(signal: AbortSignal): Promise<Verification>
  /** Moves the development clock on; returns how far it is then ahead, in milliseconds. */
  advanceClock(byMs: number): Promise<number>
}

/**
 * Opens the running service's catalogue through the data folder, or starts it under the folder's
 * lock when no service runs. A folder that does not exist is not made.
 */
export async function openWorkbench(
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<Workbench> {
  if ((await stat(config.dataDirectory).catch(() => null)) === null) {
    throw new Fault('not-found', `there is no data folder ${config.dataDirectory}`, {
      hint: 'set HOLDFAST_DATA to the folder that the service uses',
    })
  }
  const user = await resolveServerUser(config.serverUser, process.getuid?.() ?? -1)
  const folder = await openDataFolder(config.dataDirectory, user !== null)
  await using stack = new AsyncDisposableStack()
  const catalogue = await reachCatalogue(folder, user, log, signal, stack)
  const stores = stack.use(await openStores(config, folder, catalogue, log, signal))
  const { storage, repository } = stores
  const engine = createPostgresEngine()
  const resources = stack.move()
  return {
    restore: (setId, directory, cancel, onProgress) =>
      restoreSet(setId, directory, { catalogue, repository, engine }, cancel, onProgress),
    verify: (cancel) => {
      const listStorage = () => storage.list('', cancel)
      return verifyRepository({ catalogue, repository, listStorage }, cancel)
    },
    advanceClock: (byMs) => catalogue.transaction((tx) => advanceClock(tx, byMs)),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function reachCatalogue(
  folder: DataFolder,
  user: ServerUser | null,
  log: Logger,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<Catalogue> {
  try {
    stack.use(await lockDataFolder(folder))
  } catch (error) {
    if (!isFault(error, 'exists')) throw error
    return stack.use(await joinCatalogue(folder, log))
  }
  return stack.use(await startCatalogue(folder, user, log, signal)).catalogue
}
