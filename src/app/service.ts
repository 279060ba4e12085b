import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isoMilliseconds, machineNow } from '../base/clock.ts'
import { describeWithAdvice, Fault, invariant, isFault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { findAccessKey, putOnlyAccessKey, takeNonce } from '../catalogue/access.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { releaseAllLeases } from '../catalogue/leases.ts'
import type { Queue } from '../catalogue/queue.ts'
import { openQueue } from '../catalogue/queue.ts'
import { type Config, isExposed } from '../config/config.ts'
import { findPlaceProblems } from '../config/places.ts'
import { readAccessKey } from '../config/secrets.ts'
import type { EngineParts } from '../engines/engine.ts'
import { createPostgresLocalEngine } from '../engines/postgres/local-engine.ts'
import { createPostgresEngine } from '../engines/postgres/postgres-engine.ts'
import { runAlarms } from '../jobs/alarms.ts'
import { runDuties } from '../jobs/duties.ts'
import type { WatchedFolders } from '../jobs/free-space.ts'
import type { WorkerParts } from '../jobs/job.ts'
import { createLocalServers } from '../jobs/local-servers.ts'
import { createMeasurements, type Measurements } from '../jobs/measure.ts'
import { sourceOf } from '../jobs/sources.ts'
import { startWorker } from '../jobs/worker.ts'
import { OPERATIONS } from '../operations/all.ts'
import { HEADER_OBJECT } from '../repository/header.ts'
import type { ServerAccounts } from '../servers/accounts.ts'
import { resolveCatalogueUser, resolveServerAccounts } from '../servers/accounts.ts'
import { installedMajors } from '../servers/binaries.ts'
import { freePort } from '../servers/free-port.ts'
import type { ServerUser } from '../servers/server-user.ts'
import { resolveServerUser } from '../servers/server-user.ts'
import { startServer } from '../wire/server.ts'
import { readTlsPair } from '../wire/tls-files.ts'
import type { DataFolder } from './data-folder.ts'
import { lockDataFolder, openDataFolder } from './data-folder.ts'
import { CATALOGUE_MAJOR, type Keys, openKeys, startCatalogue } from './open-catalogue.ts'
import type { Stores } from './open-repository.ts'
import { openStores } from './open-repository.ts'
import type { ServiceClock } from './service-clock.ts'
import { openServiceClock } from './service-clock.ts'

export interface Service extends AsyncDisposable {
  readonly url: string
  /** Where the first access key is kept; null when it came from the environment. */
  readonly accessKeyFile: string | null
  /** Rejects when something the service cannot do without ends. */
  readonly failed: Promise<never>
}

/** Jobs that run at shutdown get this long; what is left is taken up again at the next start. */
const DRAIN_MS = 10_000

interface Parts {
  readonly config: Config
  readonly folder: DataFolder
  readonly user: ServerUser | null
  readonly socketRoot: string
  readonly catalogue: Catalogue
  readonly clock: ServiceClock
  readonly queue: Queue
  readonly stores: Stores
  readonly keys: Keys
  readonly measurements: Measurements
  readonly log: Logger
}

/**
 * Everything `serve` runs, on a configuration that `findProblems` finds nothing wrong with;
 * disposing drains and stops all of it, in reverse order.
 */
export async function startService(
  config: Config,
  developmentClock: boolean,
  log: Logger,
  signal: AbortSignal,
  catalogueMajor = CATALOGUE_MAJOR,
): Promise<Service> {
  await using stack = new AsyncDisposableStack()
  const accounts = await resolveServerAccounts(config, process.getuid?.() ?? -1)
  reportAccounts(accounts, log)
  const user = accounts.local
  const folder = await openDataFolder(config.dataDirectory, user !== null)
  const lock = stack.use(await lockDataFolder(folder))
  await emptyFolder(folder.scratch)
  const embedded = stack.use(
    await startCatalogue(folder, accounts.catalogue, log, signal, catalogueMajor),
  )
  const { catalogue, socketRoot } = embedded
  const keys = await openKeys(config.keyFile, catalogue, true)
  const clock = await openServiceClock(catalogue, developmentClock)
  reportClock(clock, log)
  const stores = stack.use(await openStores(config, folder, catalogue, log, signal))
  const queue = stack.use(await openQueue(catalogue, log))
  const folders = { data: folder.root, storage: config.storageDirectory }
  const version = await ownVersion()
  const notifying = config.notify !== null
  const measured = { catalogue, clock, folders, version, notifying, log }
  const measurements = createMeasurements(measured)
  const parts: Parts = {
    config,
    folder,
    user,
    socketRoot,
    catalogue,
    clock,
    queue,
    stores,
    keys,
    measurements,
    log,
  }
  // This process holds the folder's lock, so whoever held leases or ran jobs is dead.
  await releaseAllLeases(catalogue)
  await queue.takeOverRunning()
  const accessKeyFile = await recordFirstKey(parts)
  await startWorkers(parts, stack)
  startAlarms(parts, folders, stack)
  const server = stack.use(await serveWire(parts))
  log.info('service started', {
    url: server.url,
    metricsUrl: server.metricsUrl,
    region: config.region,
  })
  const resources = stack.move()
  let stopping = false
  return {
    url: server.url,
    accessKeyFile,
    failed: Promise.race([
      embedded.exited.then((logTail) => `the catalogue's server ended: ${logTail}`),
      lock.lost.then(() => 'the lock on the data folder was lost'),
    ]).then((reason) => {
      if (stopping) return new Promise<never>(() => {})
      throw new Fault('transient', reason)
    }),
    [Symbol.asyncDispose]: async () => {
      stopping = true
      log.info('service stopping')
      await resources.disposeAsync()
      log.info('service stopped')
    },
  }
}

/** What is wrong with the users, folders and files that the configuration names; all of it. */
export async function findProblems(config: Config): Promise<readonly string[]> {
  const uid = process.getuid?.() ?? -1
  const { serverUser, catalogueUser, tls } = config
  const found = await Promise.all([
    problemOf('HOLDFAST_SERVER_USER', () => resolveServerUser(serverUser, uid)),
    problemOf('HOLDFAST_CATALOGUE_USER', () => resolveCatalogueUser(catalogueUser, null, uid)),
    problemOf('HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY', async () => tls && readTlsPair(tls)),
  ])
  return [...(await findPlaceProblems(config)), ...found.filter((problem) => problem !== null)]
}

/** What a setting leads to fails with, for people; null when it does not. */
async function problemOf(name: string, use: () => Promise<unknown>): Promise<string | null> {
  try {
    await use()
    return null
  } catch (error) {
    if (!isFault(error)) throw error
    return `${name}: ${describeWithAdvice(error)}`
  }
}

/** What a killed process left there is of no use to anyone. */
async function emptyFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true })
}

function reportAccounts({ local, catalogue }: ServerAccounts, log: Logger): void {
  if (local === null || catalogue === null) return
  const users = { localInstances: local.name, catalogue: catalogue.name }
  log.info('database servers run as other users', users)
}

/** What the choice of accounts opens to others; for people, at every start. */
export async function findAccountWarnings(config: Config): Promise<readonly string[]> {
  return (await resolveServerAccounts(config, process.getuid?.() ?? -1)).warnings
}

function reportClock(clock: ServiceClock, log: Logger): void {
  if (!clock.development) return
  log.warn('development clock in use', {
    serviceTime: isoMilliseconds(clock.now()),
    offsetMs: clock.offsetMs,
  })
}

async function recordFirstKey({ config, folder, catalogue, keys }: Parts) {
  const key = config.accessKey ?? (await readAccessKey(folder.accessKey))
  await catalogue.transaction((tx) =>
    putOnlyAccessKey(tx, {
      accessKeyId: key.id,
      secretSealed: keys.sealer.seal(key.secret),
      userName: 'root',
    }),
  )
  return config.accessKey ? null : folder.accessKey
}

/** Workers, duties and local servers; stopping takes them down in reverse. */
async function startWorkers(parts: Parts, stack: AsyncDisposableStack): Promise<void> {
  const { config, folder, user, socketRoot, catalogue, queue, clock, stores, keys, log } = parts
  const { sealer } = keys
  const local = createPostgresLocalEngine({
    user,
    binariesDirectory: folder.binaries,
    socketRoot,
  })
  const engines: Record<string, EngineParts> = {
    PostgreSQL: { engine: createPostgresEngine(), local },
  }
  const localServers = stack.use(
    createLocalServers({ catalogue, engine: local, sealer, freePort, log }),
  )
  const worker: WorkerParts = {
    catalogue,
    queue,
    clock,
    repository: stores.repository,
    engines,
    localServers,
    ...keys,
    sourceOf: (instanceId) => sourceOf(catalogue, sealer, instanceId),
    freePorts: async (count) => {
      const ports = new Set<number>()
      while (ports.size < count) ports.add(await freePort())
      return [...ports]
    },
    undeleteWindowMs: config.undeleteWindowMs,
    paused: config.paused,
    scratchDirectory: folder.scratch,
    instancesDirectory: folder.instances,
    receiptHeadsFile: folder.receiptHeads,
  }
  const stopping = new AbortController()
  await startWorker(worker, log, stopping.signal)
  const duties = runDuties(worker, log, stopping.signal)
  stack.defer(async () => {
    const draining = queue.drain(DRAIN_MS)
    // Work that takes long is not waited for: it stops now and runs again at the next start.
    stopping.abort(new Fault('transient', 'the service is stopping'))
    await draining
    await duties
  })
}

/** What a person has to hear of is looked for and told until the service stops. */
function startAlarms(parts: Parts, folders: WatchedFolders, stack: AsyncDisposableStack): void {
  const { config, catalogue, clock, measurements, log } = parts
  const { notify: receiver, deadManUrl, diskLow } = config
  const { notifications, pings } = measurements
  const stopping = new AbortController()
  const alarms = runAlarms(
    { catalogue, clock, folders, diskLow, receiver, deadManUrl, notifications, pings },
    log,
    stopping.signal,
  )
  stack.defer(async () => {
    stopping.abort(new Fault('transient', 'the service is stopping'))
    await alarms
  })
}

/** The same place in a checkout and in the installed package. */
async function ownVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

function serveWire(parts: Parts) {
  const { config, catalogue, queue, clock, stores, keys, measurements, log } = parts
  return startServer({
    operations: OPERATIONS,
    needs: {
      catalogue,
      queue,
      ...keys,
      region: config.region,
      engineVersions: installedMajors(),
      undeleteWindowMs: config.undeleteWindowMs,
      log,
    },
    keys: {
      find: async (accessKeyId) => {
        const key = await catalogue.transaction((tx) => findAccessKey(tx, accessKeyId))
        return key && { secret: keys.sealer.open(key.secretSealed), user: key.userName }
      },
    },
    nonces: {
      use: (accessKeyId, nonce, expiresAt) =>
        catalogue.transaction((tx) => takeNonce(tx, accessKeyId, nonce, expiresAt)),
    },
    clock,
    beforeRequest: clock.refresh,
    probes: [
      { name: 'catalogue', check: () => catalogue.ping() },
      { name: 'queue', check: () => queue.ping() },
      {
        name: 'storage',
        check: async (signal) => {
          const size = await stores.storage.size(HEADER_OBJECT, signal)
          invariant(size !== null, 'the repository header is there')
        },
      },
    ],
    information: () => ({
      Service: 'holdfast',
      ApiVersion: '2014-08-15',
      Region: config.region,
      ServiceTime: isoMilliseconds(clock.now()),
      MachineTime: isoMilliseconds(machineNow()),
      ...(clock.development ? { DevelopmentClockOffsetSeconds: clock.offsetMs / 1000 } : {}),
    }),
    log,
    answered: (action, code) => measurements.requests.add({ action, code }),
    listen: config.listen,
    tls: config.tls,
    trustedProxies: config.trustedProxies,
    exposed: isExposed(config),
    metrics: measurements,
    metricsToken: config.metrics.token,
    metricsListen: config.metrics.listen,
  })
}
