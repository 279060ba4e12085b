import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { replaceFile } from '../base/durable-file.ts'
import { Fault, systemCode } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { createReceiptChain, type ReceiptChain } from '../base/receipt-chain.ts'
import { createSealer, type Sealer } from '../base/sealing.ts'
import { Secret } from '../base/secret.ts'
import { copyCatalogue } from '../catalogue/copy-catalogue.ts'
import type { Catalogue, Connection } from '../catalogue/database.ts'
import { openCatalogue } from '../catalogue/database.ts'
import { readKeyCheck, recordKeyCheck } from '../catalogue/settings.ts'
import { readPassword, readSealingKey } from '../config/secrets.ts'
import { locateBinaries } from '../servers/binaries.ts'
import type { MajorUpgrade } from '../servers/major-upgrade.ts'
import { upgradePostgresData } from '../servers/major-upgrade.ts'
import type { PostgresDataPlan } from '../servers/postgres-data.ts'
import { createPostgresData } from '../servers/postgres-data.ts'
import { startPostgres } from '../servers/postgres-server.ts'
import type { ServerUser } from '../servers/server-user.ts'
import type { DataFolder } from './data-folder.ts'

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

/** What is done with the key file of a catalogue. */
export interface Keys {
  readonly sealer: Sealer
  readonly receipts: ReceiptChain
}

/**
 * Opens the key file that belongs to this catalogue; another one is a Fault `denied`. A missing one is
 * made where `make` says so, and only while nothing was sealed.
 */
export async function openKeys(
  keyFile: string,
  catalogue: Catalogue,
  make: boolean,
): Promise<Keys> {
  const check = await catalogue.transaction(readKeyCheck)
  const key = await readSealingKey(keyFile, make && check === null)
  const sealer = createSealer(key)
  if (check) sealer.open(check)
  else await catalogue.transaction((tx) => recordKeyCheck(tx, sealer.seal(new Secret('holdfast'))))
  return { sealer, receipts: createReceiptChain(key) }
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
  const socketRoot = await mkdtemp(join(tmpdir(), 'holdfast-'))
  await chmod(socketRoot, 0o711)
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
