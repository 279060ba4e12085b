import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { replaceFile } from '../base/durable-file.ts'
import { Fault, systemCode } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Secret } from '../base/secret.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { openCatalogue } from '../catalogue/database.ts'
import { readPassword } from '../config/secrets.ts'
import { locateBinaries } from '../servers/binaries.ts'
import { createPostgresData } from '../servers/postgres-data.ts'
import { startPostgres } from '../servers/postgres-server.ts'
import type { ServerUser } from '../servers/server-user.ts'
import type { DataFolder } from './data-folder.ts'

const MAJOR = '18'
const SUPERUSER = 'holdfast'
/** Names the socket file; nothing listens on a network. */
const PORT = 5432

/** Where the running catalogue's server can be reached, for operator commands. */
interface Running {
  readonly socketDirectory: string
  readonly pid: number
}

export interface EmbeddedCatalogue extends AsyncDisposable {
  readonly catalogue: Catalogue
  /** Resolves when the catalogue's server ends, on purpose or not. */
  readonly exited: Promise<string>
}

/**
 * Starts the private PostgreSQL that holds the catalogue and connects to it. The caller holds the
 * folder's lock; what a killed process left running on it is stopped first.
 */
export async function startCatalogue(
  folder: DataFolder,
  user: ServerUser | null,
  log: Logger,
  signal: AbortSignal,
): Promise<EmbeddedCatalogue> {
  const password = await readPassword(folder.cataloguePassword)
  const binaries = await locateBinaries(MAJOR, user, folder.binaries)
  await createPostgresData(
    {
      directory: folder.catalogue,
      binaries,
      user,
      superuser: SUPERUSER,
      password,
      settings: { jit: 'off', max_connections: '100', shared_buffers: '64MB' },
    },
    signal,
  )
  await removeOldSocket(folder)
  const socketDirectory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const start = { directory: folder.catalogue, binaries, user, socketDirectory, port: PORT }
  const server = await startPostgres(
    { ...start, listen: 'socket', logFile: folder.catalogueLog },
    signal,
  )
  try {
    const running: Running = { socketDirectory, pid: server.pid }
    await replaceFile(folder.running, JSON.stringify(running), 0o600, null)
    const catalogue = await connect(socketDirectory, password, log)
    return {
      catalogue,
      exited: server.exited.then(({ logTail }) => logTail),
      [Symbol.asyncDispose]: async () => {
        await catalogue[Symbol.asyncDispose]()
        await server[Symbol.asyncDispose]()
        await rm(folder.running, { force: true })
        await rm(socketDirectory, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

/** Connects to the catalogue of the service that runs on this folder. */
export async function joinCatalogue(folder: DataFolder, log: Logger): Promise<Catalogue> {
  const running = await readRunning(folder)
  if (!running) {
    throw new Fault('transient', `the service on ${folder.root} is not up yet, or going down`, {
      hint: 'try again in a moment',
    })
  }
  return connect(running.socketDirectory, await readPassword(folder.cataloguePassword), log)
}

function connect(host: string, password: Secret<string>, log: Logger): Promise<Catalogue> {
  return openCatalogue({ host, port: PORT, database: 'postgres', user: SUPERUSER, password }, log)
}

async function removeOldSocket(folder: DataFolder): Promise<void> {
  const old = await readRunning(folder)
  if (old) await rm(old.socketDirectory, { recursive: true, force: true })
}

async function readRunning(folder: DataFolder): Promise<Running | null> {
  try {
    return JSON.parse(await readFile(folder.running, 'utf8')) as Running
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}
