import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isLoopback } from '../base/address.ts'
import { SECOND_MS } from '../base/clock.ts'
import { replaceFile } from '../base/durable-file.ts'
import { Fault, fileFault, systemCode } from '../base/fault.ts'
import { type FileLock, tryFileLock } from '../base/file-lock.ts'
import type { Logger } from '../base/logger.ts'
import { Secret } from '../base/secret.ts'
import { copyCatalogue } from '../catalogue/copy-catalogue.ts'
import type { Catalogue, Connection } from '../catalogue/database.ts'
import { openCatalogue } from '../catalogue/database.ts'
import {
  beginSharedStart,
  type ExternalConnection,
  type SharedStart,
} from '../catalogue/external.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { readPassword } from '../config/secrets.ts'
import { locateBinaries } from '../servers/binaries.ts'
import type { MajorUpgrade } from '../servers/major-upgrade.ts'
import { upgradePostgresData } from '../servers/major-upgrade.ts'
import type { PostgresDataPlan } from '../servers/postgres-data.ts'
import { createPostgresData } from '../servers/postgres-data.ts'
import { startPostgres } from '../servers/postgres-server.ts'
import type { ServerUser } from '../servers/server-user.ts'
import {
  claimScratch,
  type DataFolder,
  emptyScratch,
  isDataFolder,
  lockDataFolder,
  requireOwnCatalogue,
} from './data-folder.ts'

/** The major of the embedded PostgreSQL that a catalogue is brought to. */
export const CATALOGUE_MAJOR = 18
const SUPERUSER = 'holdfast'
/** Names the socket file; nothing listens on a network. */
const PORT = 5432

/** Where the running service's sockets are, for operator commands and for the next start. */
interface Running {
  readonly socketRoot: string
}

export interface EmbeddedCatalogue extends AsyncDisposable {
  readonly catalogue: Catalogue
  /** A short folder, passable for the users of servers, that goes with this process. */
  readonly socketRoot: string
  /** Resolves when the catalogue's server ends, on purpose or not. */
  readonly exited: Promise<string>
}

/**
 * Starts the private PostgreSQL that holds the catalogue and connects to it, after bringing one that
 * an older major made to this one. The caller holds the folder's lock; what a killed process left
 * running on it is stopped first.
 */
export async function startCatalogue(
  folder: DataFolder,
  user: ServerUser | null,
  log: Logger,
  signal: AbortSignal,
  major = CATALOGUE_MAJOR,
): Promise<EmbeddedCatalogue> {
  const password = await readPassword(folder.cataloguePassword)
  const binaries = await locateBinaries(String(major), user, folder.binaries)
  const settings = { jit: 'off', max_connections: '100', shared_buffers: '64MB' }
  const identity = { superuser: SUPERUSER, password, settings }
  const plan: PostgresDataPlan = { directory: folder.catalogue, binaries, user, ...identity }
  const socketRoot = await renewSocketRoot(folder)
  await using stack = new AsyncDisposableStack()
  stack.defer(async () => {
    await rm(folder.running, { force: true })
    await rm(socketRoot, { recursive: true, force: true })
  })
  await upgradePostgresData(upgradeOf(folder, plan, socketRoot, log), log, signal)
  await createPostgresData(plan, signal)
  const socketDirectory = socketOf(socketRoot)
  const start = { directory: folder.catalogue, binaries, user, socketDirectory, port: PORT }
  const server = stack.use(
    await startPostgres({ ...start, listen: 'socket', logFile: folder.catalogueLog }, signal),
  )
  const catalogue = stack.use(await connect(socketDirectory, password, log))
  const resources = stack.move()
  return {
    catalogue,
    socketRoot,
    exited: server.exited.then(({ logTail }) => logTail),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

function upgradeOf(
  folder: DataFolder,
  plan: PostgresDataPlan,
  socketRoot: string,
  log: Logger,
): MajorUpgrade {
  const at = (host: string) => connectionTo(host, plan.password)
  return {
    plan,
    mirrorDirectory: folder.binaries,
    socketRoot,
    port: PORT,
    logFile: folder.catalogueLog,
    copy: (from, to, cancel) => copyCatalogue(at(from), at(to), log, cancel),
  }
}

/** Connects to the catalogue of the service that runs on this folder. */
export async function joinCatalogue(folder: DataFolder, log: Logger): Promise<Catalogue> {
  const running = await readRunning(folder)
  const password = await readPassword(folder.cataloguePassword)
  try {
    if (running) return await connect(socketOf(running.socketRoot), password, log)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ECONNREFUSED') throw error
  }
  throw new Fault('transient', `the service on ${folder.root} is not up yet, or going down`, {
    hint: 'try again in a moment',
  })
}

function connect(host: string, password: Secret<string>, log: Logger): Promise<Catalogue> {
  return openCatalogue(connectionTo(host, password), log)
}

function connectionTo(host: string, password: Secret<string>): Connection {
  return { host, port: PORT, database: 'postgres', user: SUPERUSER, password }
}

function socketOf(socketRoot: string): string {
  return join(socketRoot, 'catalogue')
}

/** A new folder each time: one that a killed process left could have been taken by someone else. */
async function renewSocketRoot(folder: DataFolder): Promise<string> {
  const old = await readRunning(folder)
  await rm(folder.running, { force: true })
  if (old) await rm(old.socketRoot, { recursive: true, force: true })
  const socketRoot = await makeSocketRoot()
  const running: Running = { socketRoot }
  await replaceFile(folder.running, JSON.stringify(running), 0o600, null)
  return socketRoot
}

async function readRunning(folder: DataFolder): Promise<Running | null> {
  try {
    return JSON.parse(await readFile(folder.running, 'utf8')) as Running
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}

async function makeSocketRoot(): Promise<string> {
  const socketRoot = await mkdtemp(join(tmpdir(), 'holdfast-'))
  await chmod(socketRoot, 0o711)
  return socketRoot
}

/** A catalogue that a process has for itself or shares, and what of this host goes with it. */
export interface Place extends AsyncDisposable {
  readonly catalogue: Catalogue
  /** Whether no other process serves this catalogue: whoever held its leases is dead. */
  readonly alone: boolean
  readonly socketRoot: string
  readonly scratch: string
  /** Whether this process may run the servers of the data folder's instances; null: another one does. */
  readonly holdInstances: () => Promise<FileLock | null>
  /** Lets other processes start: what is made once, at the first start, has been made. */
  readonly started: () => Promise<void>
  /** Resolves, with the reason, when the process cannot go on. */
  readonly failed: Promise<string>
}

/** The catalogue in the data folder, under the folder's lock. */
export async function openOwnPlace(
  folder: DataFolder,
  user: ServerUser | null,
  log: Logger,
  signal: AbortSignal,
  major: number,
): Promise<Place> {
  await requireOwnCatalogue(folder.root)
  await using stack = new AsyncDisposableStack()
  const lock = stack.use(await lockDataFolder(folder))
  await emptyScratch(folder)
  const embedded = stack.use(await startCatalogue(folder, user, log, signal, major))
  const resources = stack.move()
  return {
    catalogue: embedded.catalogue,
    alone: true,
    socketRoot: embedded.socketRoot,
    scratch: folder.scratch,
    // Whoever holds the folder holds what is in it.
    holdInstances: async () => ({
      lost: new Promise<void>(() => {}),
      [Symbol.asyncDispose]: async () => {},
    }),
    started: async () => {},
    failed: Promise.race([
      embedded.exited.then((logTail) => `the catalogue's server ended: ${logTail}`),
      lock.lost.then(() => 'the lock on the data folder was lost'),
    ]),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Other processes may be preparing the same folder: each takes a moment. */
const PREPARING_TRIES_MAX = 300

/**
 * A catalogue that several processes share. Until `started` no other process gets this far, with
 * whatever data folder; the data folder is locked only while it is prepared.
 */
export async function openSharedPlace(
  folder: DataFolder,
  url: DatabaseUrl,
  log: Logger,
  signal: AbortSignal,
): Promise<Place> {
  await using stack = new AsyncDisposableStack()
  const start = stack.use(await beginSharedStart(await readConnection(url), log, signal))
  warnOfPlainText(start.connection, log)
  const catalogue = stack.use(await openCatalogue(start.connection, log))
  const socketRoot = await makeSocketRoot()
  stack.defer(() => rm(socketRoot, { recursive: true, force: true }))
  const scratch = stack.use(await prepareShared(folder, socketRoot, log))
  const resources = stack.move()
  return {
    catalogue,
    alone: false,
    socketRoot,
    scratch: scratch.path,
    holdInstances: () => tryFileLock(folder.instancesLock),
    started: async () => {
      // Not before: a start that is refused leaves the folder as it was.
      const told = 'HOLDFAST_DATABASE_URL says where.\n'
      await writeFile(folder.catalogueElsewhere, told, { mode: 0o600 })
      await start[Symbol.asyncDispose]()
    },
    failed: scratch.lost.then(() => 'the lock on its scratch folder was lost'),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function prepareShared(folder: DataFolder, socketRoot: string, log: Logger) {
  await using _lock = await lockDataFolder(folder, PREPARING_TRIES_MAX)
  if (await isDataFolder(folder.root)) {
    const unused = folder.catalogue
    log.warn('the catalogue in the data folder is not used: HOLDFAST_DATABASE_URL is set', {
      unused,
    })
  }
  return await claimScratch(folder, socketRoot)
}

/** For operator commands: held while the rest is opened. A catalogue is not made by them. */
export async function joinShared(
  url: DatabaseUrl,
  log: Logger,
  signal: AbortSignal,
): Promise<{ readonly catalogue: Catalogue; readonly start: SharedStart }> {
  await using stack = new AsyncDisposableStack()
  const start = stack.use(await beginSharedStart(await readConnection(url), log, signal))
  if (!start.made) {
    throw new Fault('not-found', 'no service was ever started with this HOLDFAST_DATABASE_URL', {
      hint: 'set it to the one that the service uses',
    })
  }
  const catalogue = await openCatalogue(start.connection, log)
  stack.move()
  return { catalogue, start }
}

async function readConnection(url: DatabaseUrl): Promise<ExternalConnection> {
  const { host, port, database, user, password, options } = url
  const { tlsMode: mode, rootCertificateFile, client, connectTimeoutSeconds } = url
  return {
    ...{ host, port, database, user, password },
    external: {
      tls: {
        mode,
        rootCertificate: rootCertificateFile && (await readPem(rootCertificateFile)),
        client: client && {
          certificate: await readPem(client.certificateFile),
          key: new Secret(await readPem(client.keyFile)),
        },
      },
      options,
      connectTimeoutMs: connectTimeoutSeconds * SECOND_MS,
    },
  }
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw fileFault(error, `a certificate or key of HOLDFAST_DATABASE_URL`)
  }
}

/** On the way lie the sealed passwords and what clients are answered. */
function warnOfPlainText({ host, external }: ExternalConnection, log: Logger): void {
  if (host.startsWith('/') || isLoopback(host) || external.tls.mode.startsWith('verify')) return
  const advice = 'use sslmode=verify-full in HOLDFAST_DATABASE_URL'
  const problem =
    external.tls.mode === 'disable' ? 'is reached in plain text' : 'does not prove who it is'
  log.warn(`the catalogue's server ${problem}`, { host, advice })
}
