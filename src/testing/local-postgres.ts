import { chmod, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { Secret } from '../base/secret.ts'
import { NO_TLS } from '../base/tls-settings.ts'
import { writeTree } from '../base/tree-writer.ts'
import type {
  BackupOptions,
  Endpoint,
  LocalEngine,
  LocalServerPlan,
  SetDescription,
  Source,
} from '../engines/engine.ts'
import { createPostgresLocalEngine } from '../engines/postgres/local-engine.ts'
import { createPostgresEngine } from '../engines/postgres/postgres-engine.ts'
import { locateBinaries, type PostgresBinaries } from '../servers/binaries.ts'
import { freePort } from '../servers/free-port.ts'
import { startPostgres } from '../servers/postgres-server.ts'
import type { RunningServer } from '../servers/running-server.ts'
import { giveTreeToUser, resolveServerUser, type ServerUser } from '../servers/server-user.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

/** Hard on every quoting on its way: a file, a connection string, SCRAM. */
const PASSWORD = "it's a \\ secret"
const { signal } = new AbortController()

/** Real PostgreSQL servers in a temporary folder; disposing stops all and removes the folder. */
export class LocalPostgres implements AsyncDisposable {
  readonly root: string
  readonly user: ServerUser | null
  readonly engine = createPostgresEngine()
  readonly local: LocalEngine
  readonly #folder: TemporaryFolder
  readonly #running = new Set<RunningServer>()

  private constructor(folder: TemporaryFolder, user: ServerUser | null) {
    const root = folder.path
    this.#folder = folder
    this.root = root
    this.user = user
    this.local = createPostgresLocalEngine({
      user,
      binariesDirectory: join(root, 'programs'),
      socketRoot: join(root, 's'),
    })
  }

  static async create(): Promise<LocalPostgres> {
    const folder = await temporaryFolder('pg')
    const uid = process.getuid?.() ?? -1
    return new LocalPostgres(folder, await resolveServerUser(uid === 0 ? 'nobody' : null, uid))
  }

  binaries(version = '18'): Promise<PostgresBinaries> {
    return locateBinaries(version, this.user, join(this.root, 'programs'))
  }

  async plan(role: 'primary' | 'standby', node: string): Promise<LocalServerPlan> {
    return {
      version: '18',
      role,
      directory: join(this.root, node),
      port: await freePort(),
      user: 'admin',
      password: new Secret(PASSWORD),
      primaryPort: null,
      node,
    }
  }

  async startPrimary(node: string): Promise<[LocalServerPlan, RunningServer]> {
    const plan = await this.plan('primary', node)
    await this.local.createPrimary(plan, signal)
    return [plan, await this.start(plan)]
  }

  async startStandby(
    node: string,
    primary: LocalServerPlan,
  ): Promise<[LocalServerPlan, RunningServer]> {
    const plan = { ...(await this.plan('standby', node)), primaryPort: primary.port }
    const spool = join(this.root, `${node}.spool`)
    await this.local.createStandby(plan, endpointOf(primary), spool, signal)
    return [plan, await this.start(plan)]
  }

  async start(plan: LocalServerPlan): Promise<RunningServer> {
    const server = await this.local.start(plan, signal)
    this.#running.add(server)
    return server
  }

  async stop(server: RunningServer): Promise<void> {
    this.#running.delete(server)
    await server[Symbol.asyncDispose]()
  }

  /** A new folder that the server user can pass through. */
  async folder(name: string): Promise<string> {
    const folder = await mkdtemp(join(this.root, `${name}-`))
    await chmod(folder, 0o755)
    return folder
  }

  /** Without limits, with a scratch folder of its own. */
  async backupOptions(label: string): Promise<BackupOptions> {
    const scratchDirectory = await this.folder('scratch')
    return { scratchDirectory, label, maxRateKib: null, checkpoint: 'fast' }
  }

  /** Takes a backup and writes it to a new directory. */
  async backUp(
    source: Source,
  ): Promise<{ readonly directory: string; readonly set: SetDescription }> {
    const directory = join(await this.folder('copy'), 'data')
    const options = await this.backupOptions("a test's")
    await using backup = await this.engine.openBackup(source, options, signal)
    await writeTree(backup.entries, directory, signal)
    return { directory, set: await backup.finish(signal) }
  }

  /** Starts a prepared copy on its own loopback port. */
  async startCopy(directory: string, version?: string): Promise<RunningServer> {
    await giveTreeToUser(directory, this.user)
    const server = await startPostgres(
      {
        directory,
        binaries: await this.binaries(version),
        user: this.user,
        port: await freePort(),
        listen: 'loopback',
        socketDirectory: `${directory}.s`,
        logFile: `${directory}.log`,
      },
      signal,
    )
    this.#running.add(server)
    return server
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // In reverse, so that a standby goes before its primary.
    for (const server of [...this.#running].reverse()) await server[Symbol.asyncDispose]()
    await this.#folder[Symbol.asyncDispose]()
  }
}

/** How the `pg` package reaches a local server as its superuser. */
export function databaseOf({ port, user, password }: LocalServerPlan): ClientConfig {
  return { host: '127.0.0.1', port, user, password: password.reveal(), database: 'postgres' }
}

/** How an engine reaches a local server. */
export function endpointOf(plan: LocalServerPlan): Endpoint {
  const { role, node, port, user, password } = plan
  const reached = { host: '127.0.0.1', port, database: 'postgres', tls: NO_TLS }
  return { role, node, user, password, ...reached }
}

/** Of servers whose cluster is not known yet. */
export function sourceOf(...plans: readonly LocalServerPlan[]): Source {
  return { endpoints: plans.map(endpointOf), systemIdentifier: null }
}
