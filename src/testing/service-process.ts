import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { chmod, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pause } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import { type Reaper, startReaper } from '../base/reaper.ts'
import { Secret } from '../base/secret.ts'
import { freePort } from '../servers/free-port.ts'
import { type CallReply, callApi } from '../wire/client.ts'
import { type Finished, runProgram } from './run-program.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { withDatabase } from './with-database.ts'

const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
const UP_TRIES_MAX = 600
const UP_PAUSE_MS = 100

/** A JSON object of the API, read loosely. */
export type Reply = Readonly<Record<string, unknown>>

interface Given {
  /** What is not its own alone lies there. */
  readonly folder: string
  /** Names its log. */
  readonly name: string
  readonly port: number
  readonly changed: Readonly<Record<string, string>>
  readonly switches: readonly string[]
}

/** A real `holdfast serve` as a child process. */
export class ServiceProcess implements AsyncDisposable {
  readonly folder: string
  /** Where it answers; of a worker, its health alone. */
  readonly endpoint: string
  readonly environment: Readonly<Record<string, string>>
  readonly #stack: AsyncDisposableStack
  readonly #reaper: Reaper
  readonly #switches: readonly string[]
  readonly #logFile: string
  #child: ChildProcess | null = null

  private constructor(given: Given, stack: AsyncDisposableStack, reaper: Reaper) {
    const { folder, port, changed, switches } = given
    this.folder = folder
    this.#switches = switches
    this.#logFile = join(folder, `${given.name}.log`)
    const scheme = changed['HOLDFAST_TLS_CERT'] === undefined ? 'http' : 'https'
    const told = switches.includes('worker') ? 'HOLDFAST_METRICS_LISTEN' : 'HOLDFAST_LISTEN'
    const [listensOn] = changed[told]?.match(/\d+$/) ?? [port]
    this.endpoint = `${scheme}://127.0.0.1:${listensOn}`
    this.#stack = stack
    this.#reaper = reaper
    this.environment = {
      PATH: '/usr/bin:/bin',
      TMPDIR: this.socketFolder,
      HOLDFAST_DATA: this.dataFolder,
      HOLDFAST_LISTEN: `127.0.0.1:${port}`,
      HOLDFAST_ACCESS_KEY_ID: 'testAccessKeyId',
      HOLDFAST_ACCESS_KEY_SECRET: 'testAccessKeySecret',
      // What a test does not ask for does not happen to it, and what it deletes goes at once.
      HOLDFAST_PAUSE: 'backups,expiry',
      HOLDFAST_UNDELETE_WINDOW: '0',
      ...(process.getuid?.() === 0 ? { HOLDFAST_SERVER_USER: 'nobody' } : {}),
      ...changed,
    }
  }

  /**
   * Started on a data folder of its own with a development clock. `changed` is added to its
   * environment, and to that of commands; `switches` to `serve`.
   */
  static async open(
    name: string,
    changed: Readonly<Record<string, string>> = {},
    switches: readonly string[] = [],
  ): Promise<ServiceProcess> {
    await using stack = new AsyncDisposableStack()
    const folder = stack.use(await temporaryFolder(name))
    const reaper = stack.use(startReaper())
    const port = await freePort()
    const words = ['--development-clock', ...switches]
    const given = { folder: folder.path, name: 'serve', port, changed, switches: words }
    const service = new ServiceProcess(given, stack.move(), reaper)
    await service.#makeSocketFolder()
    try {
      await service.start()
      return service
    } catch (error) {
      await service[Symbol.asyncDispose]()
      throw error
    }
  }

  /**
   * One of several in a folder that the caller removes, not started yet, with no development clock
   * unless `switches` say so. `name` names its log.
   */
  static async inFolder(
    folder: string,
    name: string,
    changed: Readonly<Record<string, string>>,
    switches: readonly string[],
  ): Promise<ServiceProcess> {
    await using stack = new AsyncDisposableStack()
    const reaper = stack.use(startReaper())
    const given = { folder, name, port: await freePort(), changed, switches }
    const service = new ServiceProcess(given, stack.move(), reaper)
    await service.#makeSocketFolder()
    return service
  }

  async #makeSocketFolder(): Promise<void> {
    await mkdir(this.socketFolder, { recursive: true })
    await chmod(this.socketFolder, 0o711)
  }

  /** Where the service makes its folder for sockets: a short path, because theirs are limited. */
  get socketFolder(): string {
    return join(this.folder, 't')
  }

  get dataFolder(): string {
    return join(this.folder, 'data')
  }

  get storageFolder(): string {
    return join(this.dataFolder, 'storage')
  }

  get pid(): number {
    invariant(this.#child?.pid, 'the service was started')
    return this.#child.pid
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    const log = createWriteStream(this.#logFile, { flags: 'a' })
    await once(log, 'open')
    const child = spawn(process.execPath, [MAIN, 'serve', ...this.#switches], {
      env: this.environment,
      stdio: ['ignore', log, log],
    })
    await once(child, 'spawn')
    log.close()
    this.#child = child
    await this.#reaper.watchProcess(this.pid)
    for (let tries = 0; tries < UP_TRIES_MAX; tries += 1) {
      if (child.exitCode !== null || child.signalCode !== null) break
      const up = await fetch(`${this.endpoint}/healthz`).catch(() => null)
      if (up?.status === 200) return
      await pause(UP_PAUSE_MS)
    }
    throw new Error(`the service did not come up: ${await this.log()}`)
  }

  async log(): Promise<string> {
    return readFile(this.#logFile, 'utf8')
  }

  /** Ends it and waits; gives its exit code. */
  async stop(how: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null
    const exited = once(child, 'exit')
    child.kill(how)
    const [code] = await exited
    return code as number | null
  }

  /** Resolves when the process has ended by itself. */
  async ended(): Promise<void> {
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    this.#child = null
  }

  call(
    action: string,
    parameters: Readonly<Record<string, string>> = {},
    more: Partial<Parameters<typeof callApi>[0]> = {},
  ): Promise<CallReply> {
    return callApi({
      endpoint: this.endpoint,
      accessKeyId: 'testAccessKeyId',
      accessKeySecret: new Secret('testAccessKeySecret'),
      action,
      parameters,
      format: 'JSON',
      signal: AbortSignal.timeout(30_000),
      ...more,
    })
  }

  /** A call that must succeed; gives the JSON body. */
  async ask(action: string, parameters: Readonly<Record<string, string>> = {}): Promise<Reply> {
    const reply = await this.call(action, parameters)
    invariant(reply.status === 200, `${action} succeeds: ${reply.body}`)
    return reply.parsed as Reply
  }

  /** A CLI command on this service's data folder and endpoint, or with other variables, given last. */
  async run(...given: readonly (string | Readonly<Record<string, string>>)[]): Promise<Finished> {
    const words = given.filter((word) => typeof word === 'string')
    const changed = given.find((word) => typeof word === 'object') ?? {}
    const environment = { ...this.environment, ...changed }
    return runProgram(process.execPath, [MAIN, ...words], environment, process.cwd())
  }

  /** A command that must succeed; gives its stdout without the line's end. */
  async succeed(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...words)
    invariant(code === 0, `holdfast ${words.join(' ')} succeeds: ${stderr}`)
    return stdout.trimEnd()
  }

  /** Creates a local PostgreSQL instance, of the default category if none is named; gives its ID. */
  createInstance(category?: 'HighAvailability' | 'Basic'): Promise<string> {
    const engine = ['--engine', 'PostgreSQL', '--engine-version', '18']
    const named = category === undefined ? [] : ['--category', category]
    return this.succeed('instance', 'create', ...engine, ...named)
  }

  /** One statement on a local instance's primary, over a connection of its own. */
  async query(instanceId: string, text: string): Promise<Record<string, unknown>[]> {
    const url = await this.succeed('instance', 'connect', instanceId)
    return withDatabase(
      { connectionString: url },
      async (client) => (await client.query(text)).rows,
    )
  }

  /** Whether the instance is Running and its primary answers. */
  async isRunning(instanceId: string): Promise<boolean> {
    const shown = await this.ask('DescribeDBInstanceAttribute', { DBInstanceId: instanceId })
    const [attribute] = itemsOf(shown, 'DBInstanceAttribute')
    if (attribute?.['DBInstanceStatus'] !== 'Running') return false
    const answer = this.query(instanceId, 'select 1')
    return answer.then(() => true).catch(() => false)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGTERM')
    await this.#stack.disposeAsync()
  }
}

/** The list under `Items`. */
export function itemsOf(reply: Reply, name: string): readonly Reply[] {
  return ((reply['Items'] as Reply | undefined)?.[name] as readonly Reply[] | undefined) ?? []
}

/** Waits until `condition` holds; fails after `withinMs` of real time. */
export async function until(
  condition: () => Promise<boolean>,
  what: string,
  withinMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await condition())) {
    invariant(performance.now() < deadline, `${what} within ${withinMs} ms`)
    await pause(50)
  }
}
