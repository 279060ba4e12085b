import { join } from 'node:path'
import { Fault, isFault } from '../base/fault.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { Sealer } from '../base/sealing.ts'
import { Secret } from '../base/secret.ts'
import type { Catalogue } from '../catalogue/database.ts'
import type { LocalServerRecord } from '../catalogue/local-servers.ts'
import { localServersOf } from '../catalogue/local-servers.ts'
import { readReceipts } from '../catalogue/receipts.ts'
import { advanceClock } from '../catalogue/settings.ts'
import type { Config } from '../config/config.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import type { StoredReceipt } from '../domain/receipt.ts'
import { createPostgresEngine } from '../engines/postgres/postgres-engine.ts'
import { tellFindings, tellingDamage } from '../jobs/damage.ts'
import type { RestorePlan, RestoreProgress, RestoreResult } from '../jobs/restore-set.ts'
import { restoreSet } from '../jobs/restore-set.ts'
import type { ReceiptVerification } from '../jobs/verify-receipts.ts'
import { requireInstance, tellReceiptFindings, verifyReceipts } from '../jobs/verify-receipts.ts'
import type { Verification } from '../jobs/verify-repository.ts'
import { verifyRepository } from '../jobs/verify-repository.ts'
import { resolveServerAccounts } from '../servers/accounts.ts'
import type { ServerUser } from '../servers/server-user.ts'
import type { DataFolder } from './data-folder.ts'
import {
  headsIn,
  isDataFolder,
  lockDataFolder,
  openDataFolder,
  requireOwnCatalogue,
} from './data-folder.ts'
import { openKeys } from './first-start.ts'
import { joinCatalogue, joinShared, startCatalogue } from './open-catalogue.ts'
import { openStores } from './open-repository.ts'

/** What operator commands can do with the catalogue alone: the storage may be somewhere else, or down. */
export interface CatalogueBench extends AsyncDisposable {
  /** The URL, password included, of a local instance's primary; for its owner's SQL client. */
  connectionUrl(instanceId: string): Promise<Secret<string>>
  /**
   * Receipts of one instance, or of all (null), by instance and number; read page by page. A Fault
   * `not-found` for an instance that never was.
   */
  receipts(instanceId: string | null): AsyncIterable<StoredReceipt>
  /** `headsFile`: a copy of the file of heads, instead of this data folder's own. */
  verifyReceipts(
    instanceId: string | null,
    headsFile: string | null,
    signal: AbortSignal,
  ): Promise<ReceiptVerification>
  /** Moves the development clock on; returns how far it is then ahead, in milliseconds. */
  advanceClock(byMs: number): Promise<number>
}

/** Opens the catalogue as `openCatalogueOf` does, and nothing else. */
export async function openCatalogueBench(
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<CatalogueBench> {
  await using stack = new AsyncDisposableStack()
  const { catalogue, begun } = await openCatalogueOf(config, log, signal, stack)
  await begun()
  const resources = stack.move()
  return {
    connectionUrl: async (instanceId) => {
      const { sealer } = await openKeys(config.keyFile, catalogue, false)
      return primaryUrl(await catalogue.transaction((tx) => localServersOf(tx, instanceId)), sealer)
    },
    receipts: (instanceId) => receiptsOf(catalogue, instanceId as InstanceId | null),
    verifyReceipts: async (instanceId, headsFile, cancel) => {
      const { receipts } = await openKeys(config.keyFile, catalogue, false)
      const needs = {
        catalogue,
        receipts,
        receiptHeadsFile: headsFile ?? headsIn(config.dataDirectory),
        headsFrom: headsFile === null ? 'own' : 'given',
      } as const
      const one = instanceId as InstanceId | null
      const found = await verifyReceipts(needs, one, cancel)
      await tellReceiptFindings(needs, found, one)
      return found
    },
    advanceClock: (byMs) => catalogue.transaction((tx) => advanceClock(tx, byMs)),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** What operator commands can do with catalogue and storage: the same functions as the service's own. */
export interface Workbench extends AsyncDisposable {
  restore(
    setId: BackupSetId,
    plan: RestorePlan,
    signal: AbortSignal,
    onProgress: (progress: RestoreProgress) => void,
  ): Promise<RestoreResult>
  /** `reading`: reads and checks every stored byte as well. */
  verify(reading: boolean, signal: AbortSignal): Promise<Verification>
}

/** Opens the catalogue as `openCatalogueOf` does, and the storage that belongs to it. */
export async function openWorkbench(
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<Workbench> {
  await using stack = new AsyncDisposableStack()
  const { catalogue, begun } = await openCatalogueOf(config, log, signal, stack)
  const scratch = join(config.dataDirectory, 'scratch')
  const stores = stack.use(await openStores(config, scratch, catalogue, log, signal))
  await begun()
  const { storage, repository } = stores
  const engine = createPostgresEngine()
  const resources = stack.move()
  return {
    restore: (setId, plan, cancel, onProgress) =>
      tellingDamage(catalogue, 'a restore', `backup set ${setId}`, () =>
        restoreSet(setId, plan, { catalogue, repository, engine }, cancel, onProgress),
      ),
    verify: async (reading, cancel) => {
      const listStorage = () => storage.list('', cancel)
      const listUnfinished = () => storage.listUnfinished(cancel)
      const needs = { catalogue, repository, listStorage, listUnfinished }
      const found = await verifyRepository(needs, reading, cancel)
      await tellFindings(catalogue, found.problems)
      return found
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/**
 * Opens the catalogue that is configured, for an operator command; one of the service's own is the
 * running service's, or is started under the folder's lock when no service runs. A catalogue that does
 * not exist is not made. Until `begun` no other process starts on a shared one.
 */
async function openCatalogueOf(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<{ readonly catalogue: Catalogue; readonly begun: () => Promise<void> }> {
  return config.database === null
    ? { catalogue: await openOwn(config, log, signal, stack), begun: async () => {} }
    : await openShared(config.database, log, signal, stack)
}

async function* receiptsOf(
  catalogue: Catalogue,
  instanceId: InstanceId | null,
): AsyncIterable<StoredReceipt> {
  let none = true
  for await (const receipt of readReceipts(catalogue, instanceId)) {
    none = false
    yield receipt
  }
  if (none && instanceId !== null) await requireInstance(catalogue, instanceId)
}

function primaryUrl(servers: readonly LocalServerRecord[], sealer: Sealer): Secret<string> {
  const primary = servers.find((server) => server.role === 'primary')
  if (!primary) throw new Fault('not-found', 'there is no local instance of that name')
  const { userName, port, passwordSealed } = primary
  const password = sealer.open(passwordSealed).reveal()
  return new Secret(`postgresql://${userName}:${password}@127.0.0.1:${port}/postgres`)
}

async function openShared(
  url: DatabaseUrl,
  log: Logger,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<{ readonly catalogue: Catalogue; readonly begun: () => Promise<void> }> {
  const { catalogue, start } = await joinShared(url, log, signal)
  stack.use(catalogue)
  stack.use(start)
  return { catalogue, begun: async () => start[Symbol.asyncDispose]() }
}

async function openOwn(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<Catalogue> {
  const { catalogue: user } = await resolveServerAccounts(config, process.getuid?.() ?? -1)
  await requireOwnCatalogue(config.dataDirectory)
  if (!(await isDataFolder(config.dataDirectory))) {
    throw new Fault('not-found', `${config.dataDirectory} is no data folder`, {
      hint: 'set HOLDFAST_DATA to the folder that the service uses',
    })
  }
  const folder = await openDataFolder(config.dataDirectory, user !== null)
  return await reachCatalogue(folder, user, log, signal, stack)
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
