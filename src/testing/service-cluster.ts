import { join } from 'node:path'
import { invariant } from '../base/fault.ts'
import { freePort } from '../servers/free-port.ts'
import { LocalPostgres } from './local-postgres.ts'
import { PlainPostgres } from './plain-postgres.ts'
import { ServiceProcess } from './service-process.ts'
import { askDatabase } from './with-database.ts'

const ROLE = 'holdfast'
/** Hard on the quoting of a URL. */
const PASSWORD = 'cluster: pass/word@?%'
const DATABASE = 'catalogue'
const MAJOR = '18'
/** What any server has, and what would hurt if the service took it as it is. */
const SETTINGS = { default_transaction_isolation: 'serializable', timezone: 'Asia/Kathmandu' }

/** A PostgreSQL as an operator runs it, with a database for a catalogue, owned by a plain role. */
export class CatalogueDatabase implements AsyncDisposable {
  readonly host: LocalPostgres
  readonly #directory: string
  #server: PlainPostgres | null
  readonly #port: number

  private constructor(host: LocalPostgres, directory: string, server: PlainPostgres) {
    this.host = host
    this.#directory = directory
    this.#server = server
    this.#port = server.port
  }

  static async open(): Promise<CatalogueDatabase> {
    await using stack = new AsyncDisposableStack()
    const host = stack.use(await LocalPostgres.create())
    const directory = join(host.root, 'shared')
    await PlainPostgres.create(host, directory, MAJOR, ['--encoding=UTF8'])
    const server = stack.use(await PlainPostgres.start(host, directory, MAJOR, SETTINGS))
    await server.ask(`create role ${ROLE} login password '${PASSWORD}'`)
    const opened = new CatalogueDatabase(host, directory, server)
    await opened.create(DATABASE)
    stack.move()
    return opened
  }

  /** Makes an empty database, which the role owns. */
  create(name: string): Promise<string> {
    return this.asOwner(`create database ${name} owner ${ROLE}`)
  }

  /** The one value of the last of these statements, asked by the server's superuser. */
  asOwner(...statements: readonly string[]): Promise<string> {
    invariant(this.#server, 'the server runs')
    return this.#server.ask(...statements)
  }

  url(name = DATABASE): string {
    const password = encodeURIComponent(PASSWORD)
    return `postgresql://${ROLE}:${password}@127.0.0.1:${this.#port}/${name}`
  }

  /** The one value of the last of these statements, as text; asked in the catalogue's database. */
  ask(...statements: readonly string[]): Promise<string> {
    return askDatabase({ connectionString: this.url() }, statements)
  }

  /** Ends it as `pg_ctl stop -m fast` does: every connection is broken. */
  async stop(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]()
    this.#server = null
  }

  async start(changed: Readonly<Record<string, string>> = {}): Promise<void> {
    const settings = { ...SETTINGS, port: String(this.#port), ...changed }
    this.#server = await PlainPostgres.start(this.host, this.#directory, MAJOR, settings)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.host[Symbol.asyncDispose]()
  }
}

/**
 * Several `holdfast serve` on one catalogue, storage, key file and data folder, as on one host: `apis`
 * with `--role api`, `workers` with `--role worker`. There is no development clock, which such roles
 * do not have: what has to be old is made so in the catalogue (`database.ask`). A process that was
 * ended (`stop`) is brought back by its `start`.
 */
export interface ServiceCluster extends AsyncDisposable {
  readonly database: CatalogueDatabase
  readonly apis: readonly ServiceProcess[]
  readonly workers: readonly ServiceProcess[]
  /** Where the shared folders are. */
  readonly folder: string
}

/** Starts all of them at the same moment, on an empty database; `changed` goes into each environment. */
export async function openServiceCluster(
  counts: { readonly apis: number; readonly workers: number } = { apis: 2, workers: 2 },
  changed: Readonly<Record<string, string>> = {},
): Promise<ServiceCluster> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await CatalogueDatabase.open())
  const folder = await database.host.folder('cluster')
  const add = async (role: 'api' | 'worker', number: number) => {
    const service = await processOn(database, folder, role, `${role}-${number}`, changed)
    return stack.use(service)
  }
  const apis: ServiceProcess[] = []
  const workers: ServiceProcess[] = []
  for (let number = 1; number <= counts.apis; number += 1) apis.push(await add('api', number))
  for (let number = 1; number <= counts.workers; number += 1) {
    workers.push(await add('worker', number))
  }
  await Promise.all([...apis, ...workers].map((service) => service.start()))
  const resources = stack.move()
  return { database, apis, workers, folder, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/** One process of a cluster, not started. `changed` goes into its environment, `switches` to `serve`. */
export async function processOn(
  database: CatalogueDatabase,
  folder: string,
  role: 'all' | 'api' | 'worker',
  name: string,
  changed: Readonly<Record<string, string>> = {},
  switches: readonly string[] = [],
): Promise<ServiceProcess> {
  const health = role === 'worker' && { HOLDFAST_METRICS_LISTEN: `127.0.0.1:${await freePort()}` }
  const shared = { HOLDFAST_DATABASE_URL: database.url(), ...health, ...changed }
  return ServiceProcess.inFolder(folder, name, shared, ['--role', role, ...switches])
}
