import { readFile } from 'node:fs/promises'
import { isoMilliseconds, machineNow } from '../base/clock.ts'
import { describeWithAdvice, Fault, invariant, isFault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { findAccessKey, takeNonce } from '../catalogue/access.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { releaseAllLeases } from '../catalogue/leases.ts'
import type { Queue } from '../catalogue/queue.ts'
import { openQueue } from '../catalogue/queue.ts'
import { type Config, isExposed } from '../config/config.ts'
import { findPlaceProblems } from '../config/places.ts'
import type { Role } from '../config/role.ts'
import type { EngineParts } from '../engines/engine.ts'
import { createPostgresLocalEngine } from '../engines/postgres/local-engine.ts'
import { createPostgresEngine } from '../engines/postgres/postgres-engine.ts'
import { runAlarms } from '../jobs/alarms.ts'
import { COMMON_JOBS } from '../jobs/all.ts'
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
import type { Probe } from '../wire/health.ts'
import { startServer } from '../wire/server.ts'
import { readTlsPair } from '../wire/tls-files.ts'
import { startWatchServer, type WatchServer } from '../wire/watch-server.ts'
import type { DataFolder } from './data-folder.ts'
import { openDataFolder } from './data-folder.ts'
import {
  type Keys,
  openKeys,
  openServiceClock,
  recordAccessKey,
  type ServiceClock,
} from './first-start.ts'
import { CATALOGUE_MAJOR, openOwnPlace, openSharedPlace, type Place } from './open-catalogue.ts'
import type { Stores } from './open-repository.ts'
import { openStores } from './open-repository.ts'

/** What is decided at the command line rather than by settings. */
export interface ServiceOptions {
  readonly role: Role
  readonly developmentClock: boolean
  /** The major of the catalogue's own server. */
  readonly catalogueMajor?: number
}

export interface Service extends AsyncDisposable {
  /** Where the API is; null in a worker. */
  readonly url: string | null
  readonly metricsUrl: string | null
  /** Where the first access key is kept; null when it is not kept here. */
  readonly accessKeyFile: string | null
  /** Rejects when something the service cannot do without ends. */
  readonly failed: Promise<never>
}

/** Jobs that run at shutdown get this long; what is left is taken up again at the next start. */
const DRAIN_MS = 10_000

interface Parts {
  readonly config: Config
  readonly role: Role
  readonly folder: DataFolder
  readonly user: ServerUser | null
  readonly place: Place
  readonly catalogue: Catalogue
  readonly clock: ServiceClock
  readonly queue: Queue
  /** Null where only the API runs: it touches no storage. */
  readonly stores: Stores | null
  readonly keys: Keys
  readonly folders: WatchedFolders
  readonly measurements: Measurements
  readonly log: Logger
}

/**
 * Everything `serve` runs, on a configuration that `findProblems` finds nothing wrong with;
 * disposing drains and stops all of it, in reverse order.
 */
export async function startService(
  config: Config,
  options: ServiceOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<Service> {
  await using stack = new AsyncDisposableStack()
  const parts = await openParts(config, options, log, signal, stack)
  const { place, role } = parts
  const accessKeyFile = role === 'worker' ? null : await keepAccessKey(parts)
  await place.started()
  if (role !== 'api') {
    await startWorkers(parts, stack)
    startAlarms(parts, stack)
  }
  const server = role === 'worker' ? null : stack.use(await serveWire(parts))
  const watch = role === 'worker' ? await serveWatch(parts, stack) : null
  const url = server?.url ?? null
  const metricsUrl = server?.metricsUrl ?? watch?.metricsUrl ?? null
  log.info('service started', { role, url, metricsUrl, region: config.region })
  const resources = stack.move()
  let stopping = false
  return {
    url,
    metricsUrl,
    accessKeyFile,
    failed: place.failed.then((reason) => {
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

/** Opens what the service is made of, and makes, under the eyes of no other start, what is made once. */
async function openParts(
  config: Config,
  { role, developmentClock, catalogueMajor = CATALOGUE_MAJOR }: ServiceOptions,
  log: Logger,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<Parts> {
  const accounts = await resolveServerAccounts(config, process.getuid?.() ?? -1)
  if (role !== 'api') reportAccounts(config, accounts, log)
  const user = accounts.local
  const folder = await openDataFolder(config.dataDirectory, user !== null)
  const place = stack.use(
    config.database === null
      ? await openOwnPlace(folder, accounts.catalogue, log, signal, catalogueMajor)
      : await openSharedPlace(folder, config.database, log, signal),
  )
  const { catalogue, scratch } = place
  const keys = await openKeys(config.keyFile, catalogue, true)
  const clock = await openServiceClock(catalogue, developmentClock)
  reportClock(clock, log)
  const opening = role === 'api' ? null : openStores(config, scratch, catalogue, log, signal)
  const stores = opening && stack.use(await opening)
  const queue = stack.use(await openQueue(catalogue, log, role !== 'api'))
  if (place.alone) {
    await releaseAllLeases(catalogue)
    await queue.takeOverRunning()
  }
  const folders = { data: folder.root, storage: stores && config.storageDirectory }
  const version = await ownVersion()
  const notifying = config.notify !== null
  const measured = { catalogue, clock, folders, version, notifying, log }
  const measurements = createMeasurements(measured)
  return {
    ...{ config, role, folder, user, place, catalogue, clock, queue, stores, keys },
    ...{ folders, measurements, log },
  }
}

function keepAccessKey({ config, folder, place, catalogue, keys, log }: Parts) {
  const { sealer } = keys
  const { alone } = place
  return recordAccessKey({ config, file: folder.accessKey, alone, catalogue, sealer, log })
}

/** What is wrong with the users, folders and files that the configuration names; all of it. */
export async function findProblems(config: Config, role: Role): Promise<readonly string[]> {
  const uid = process.getuid?.() ?? -1
  const { serverUser, catalogueUser, database, tls } = config
  const found = await Promise.all([
    problemOf('HOLDFAST_SERVER_USER', () => resolveServerUser(serverUser, uid)),
    problemOf('HOLDFAST_CATALOGUE_USER', async () => {
      if (database === null) await resolveCatalogueUser(catalogueUser, null, uid)
    }),
    problemOf('HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY', async () => tls && readTlsPair(tls)),
  ])
  return [
    ...(await findPlaceProblems(config, role)),
    ...found.filter((problem) => problem !== null),
  ]
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

function reportAccounts(
  { database }: Config,
  { local, catalogue }: ServerAccounts,
  log: Logger,
): void {
  if (local === null || catalogue === null) return
  const own = database === null ? { catalogue: catalogue.name } : {}
  const users = { localInstances: local.name, ...own }
  log.info('database servers run as other users', users)
}

/** What the choice of accounts opens to others; for people, at every start. */
export async function findAccountWarnings(config: Config, role: Role): Promise<readonly string[]> {
  if (role === 'api') return []
  const { local, warnings } = await resolveServerAccounts(config, process.getuid?.() ?? -1)
  // A catalogue of someone else's is reached by what this very user can read.
  return config.database === null || local === null ? warnings : []
}

function reportClock(clock: ServiceClock, log: Logger): void {
  if (!clock.development) return
  log.warn('development clock in use', {
    serviceTime: isoMilliseconds(clock.now()),
    offsetMs: clock.offsetMs,
  })
}

/** Workers, duties and local servers; stopping takes them down in reverse. */
async function startWorkers(parts: Parts, stack: AsyncDisposableStack): Promise<void> {
  const { config, folder, user, place, catalogue, queue, clock, stores, keys, log } = parts
  const { sealer } = keys
  invariant(stores, 'workers have a storage')
  const local = createPostgresLocalEngine({
    user,
    binariesDirectory: folder.binaries,
    socketRoot: place.socketRoot,
  })
  const engines: Record<string, EngineParts> = {
    PostgreSQL: { engine: createPostgresEngine(), local },
  }
  const localServers = stack.use(
    createLocalServers({
      ...{ catalogue, engine: local, sealer, freePort, log },
      instancesDirectory: folder.instances,
      tryLock: place.holdInstances,
    }),
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
    scratchDirectory: place.scratch,
    instancesDirectory: folder.instances,
    receiptHeadsFile: folder.receiptHeads,
  }
  const stopping = new AbortController()
  await startWorker(worker, COMMON_JOBS, log, stopping.signal)
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
function startAlarms(parts: Parts, stack: AsyncDisposableStack): void {
  const { config, catalogue, clock, folders, measurements, log } = parts
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

function probesOf({ catalogue, queue, stores }: Parts): readonly Probe[] {
  const storage = async (signal: AbortSignal) => {
    const size = await stores?.storage.size(HEADER_OBJECT, signal)
    invariant(size !== null, 'the repository header is there')
  }
  return [
    { name: 'catalogue', check: () => catalogue.ping() },
    { name: 'queue', check: () => queue.ping() },
    ...(stores === null ? [] : [{ name: 'storage', check: storage }]),
  ]
}

/** Metrics and health of a process without the API, where it is told to listen for them. */
async function serveWatch(parts: Parts, stack: AsyncDisposableStack): Promise<WatchServer | null> {
  const { config, measurements: metrics, log } = parts
  const { listen, token } = config.metrics
  if (listen === null) return null
  const probes = probesOf(parts)
  return stack.use(await startWatchServer({ probes, metrics, token, listen, tls: config.tls, log }))
}

function serveWire(parts: Parts) {
  const { config, catalogue, queue, clock, keys, measurements, log } = parts
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
    probes: probesOf(parts),
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
