import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serversOn, signalProcess } from '../../src/base/processes.ts'
import type { LocalServerPlan } from '../../src/engines/engine.ts'
import type { RunningServer } from '../../src/servers/running-server.ts'
import { databaseOf, LocalPostgres } from '../../src/testing/local-postgres.ts'
import { itemsOf, type Reply, ServiceProcess, until } from '../../src/testing/service-process.ts'
import { askDatabase, withDatabase } from '../../src/testing/with-database.ts'

/** What can be killed. */
export const VICTIMS = ['service', 'catalogue', 'primary', 'standby'] as const
export type Victim = (typeof VICTIMS)[number]

const ROLE = 'keeper'
const PASSWORD = 'in-the-matrix'
const CHECKSUM = "select md5(string_agg(x, ',' order by g)) as sum from t"

/** A real `holdfast serve` beside a pair of servers that it does not run. */
export class AttachedWorld implements AsyncDisposable {
  readonly service: ServiceProcess
  /** The instance that was attached last; an ID is never used again. */
  instance = 'pgm-matrix-0'
  #attaches = 0
  readonly #host: LocalPostgres
  readonly #plans: Readonly<Record<'primary' | 'standby', LocalServerPlan>>
  readonly #servers: Record<'primary' | 'standby', RunningServer>

  private constructor(
    service: ServiceProcess,
    host: LocalPostgres,
    plans: Readonly<Record<'primary' | 'standby', LocalServerPlan>>,
    servers: Record<'primary' | 'standby', RunningServer>,
  ) {
    this.service = service
    this.#host = host
    this.#plans = plans
    this.#servers = servers
  }

  static async open(): Promise<AttachedWorld> {
    await using stack = new AsyncDisposableStack()
    const host = stack.use(await LocalPostgres.create())
    const [primary, primaryServer] = await host.startPrimary('matrix-1')
    const [standby, standbyServer] = await host.startStandby('matrix-2', primary)
    const service = stack.use(await ServiceProcess.open('matrix'))
    await writeFile(join(service.folder, 'password'), PASSWORD, { mode: 0o600 })
    stack.move()
    const plans = { primary, standby }
    const servers = { primary: primaryServer, standby: standbyServer }
    const world = new AttachedWorld(service, host, plans, servers)
    await world.query('primary', `create role ${ROLE} login replication password '${PASSWORD}'`)
    await world.query('primary', `grant pg_monitor to ${ROLE}`)
    await world.query(
      'primary',
      'create table t as select g, md5(g::text) x from generate_series(1, 100000) g',
    )
    return world
  }

  async query(server: 'primary' | 'standby', text: string): Promise<Record<string, unknown>[]> {
    return withDatabase(databaseOf(this.#plans[server]), async (client) => {
      return (await client.query(text)).rows
    })
  }

  async checksum(): Promise<string> {
    return String((await this.query('primary', CHECKSUM))[0]?.['sum'])
  }

  /** Asks for it; whether the words arrive, and what comes of them, is up to what is killed. */
  async askAttach(): Promise<void> {
    this.#attaches += 1
    this.instance = `pgm-matrix-${this.#attaches}`
    const { port } = this.#plans.primary
    const url = (at: number) => `postgresql://${ROLE}@127.0.0.1:${at}/postgres`
    await this.service.call('AttachDBInstance', {
      Engine: 'PostgreSQL',
      DBInstanceId: this.instance,
      PrimaryUrl: url(port),
      StandbyUrls: url(this.#plans.standby.port),
      Password: PASSWORD,
    })
  }

  async status(): Promise<string | null> {
    const reply = await this.service.call('DescribeDBInstanceAttribute', {
      DBInstanceId: this.instance,
    })
    const [shown] = itemsOf(reply.parsed as Reply, 'DBInstanceAttribute')
    return shown ? String(shown['DBInstanceStatus']) : null
  }

  async sets(): Promise<ReadonlyMap<string, Reply>> {
    const query = { DBInstanceId: this.instance, PageSize: '1000' }
    const sets = itemsOf(await this.service.ask('DescribeBackups', query), 'Backup')
    return new Map(sets.map((set) => [String(set['BackupId']), set]))
  }

  async kill(victims: readonly Victim[]): Promise<void> {
    for (const victim of victims) {
      if (victim === 'service') await this.service.stop('SIGKILL')
      else if (victim === 'catalogue') await this.#killCatalogue()
      else {
        signalProcess(this.#servers[victim].pid, 'SIGKILL')
        await this.#servers[victim].exited
      }
    }
  }

  /** Starts again what was killed. A service that lost its catalogue ends by itself first. */
  async revive(victims: readonly Victim[]): Promise<void> {
    for (const role of ['primary', 'standby'] as const) {
      if (!victims.includes(role)) continue
      await this.#host.stop(this.#servers[role])
      this.#servers[role] = await this.#host.start(this.#plans[role])
    }
    if (!victims.includes('service') && !victims.includes('catalogue')) return
    if (!victims.includes('service')) await this.service.ended()
    await this.service.start()
  }

  /** Slots of ours on either server. */
  async slots(): Promise<readonly string[]> {
    const names = "select slot_name as name from pg_replication_slots where slot_name ~ '^holdfast'"
    const rows = [...(await this.query('primary', names)), ...(await this.query('standby', names))]
    return rows.map((row) => String(row['name']))
  }

  /** Nothing is left to do and catalogue and storage agree to the byte. */
  async settled(): Promise<boolean> {
    const { code, stdout } = await this.service.run('verify')
    return code === 0 && !stdout.includes('intended')
  }

  /** Restores the set, starts a server on the copy and reads the table's checksum. */
  async restoredChecksum(setId: string): Promise<string> {
    const directory = join(await this.#host.folder('restored'), 'data')
    await this.service.succeed('restore', '--backup-id', setId, '--target-directory', directory)
    const server = await this.#host.startCopy(directory)
    try {
      const copy = { ...databaseOf(this.#plans.primary), port: server.port }
      return await askDatabase(copy, [CHECKSUM])
    } finally {
      await this.#host.stop(server)
    }
  }

  async #killCatalogue(): Promise<void> {
    const pids = await serversOn(join(this.service.dataFolder, 'catalogue'))
    for (const pid of pids) signalProcess(pid, 'SIGKILL')
    await until(
      async () => (await serversOn(join(this.service.dataFolder, 'catalogue'))).length === 0,
      'the catalogue is dead',
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service[Symbol.asyncDispose]()
    await this.#host[Symbol.asyncDispose]()
  }
}
