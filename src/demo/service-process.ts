import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pause } from '../base/clock.ts'
import { Fault, invariant } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import { Secret } from '../base/secret.ts'
import { siblingModule } from '../base/sibling-module.ts'
import type { DemoFolder } from './demo-folder.ts'
import { lastComplaints } from './service-log.ts'

const PROGRAM = fileURLToPath(siblingModule('../cli/main', import.meta.url))
const START_TIMEOUT_MS = 120_000
/** Longer than the service itself takes to drain and to stop its servers. */
const STOP_TIMEOUT_MS = 45_000
const POLL_MS = 50

/** How the service is reached, and everything it is told. */
export interface ServiceSetup {
  readonly endpoint: string
  readonly accessKeyId: string
  readonly accessKeySecret: Secret<string>
  readonly storageDirectory: string
  readonly logFile: string
  /** The whole environment of the service and of the commands. */
  readonly environment: Readonly<Record<string, string>>
}

/** Chooses names, a port and a key; nothing is started. */
export async function planService(
  folder: DemoFolder,
  serverUser: string | null,
): Promise<ServiceSetup> {
  const listen = `127.0.0.1:${await freePort()}`
  const accessKeyId = `demo${randomName(12)}`
  const accessKeySecret = new Secret(randomBytes(24).toString('base64url'))
  const storageDirectory = join(folder.path, 'storage')
  const temporary = await folder.temporaryFolder()
  return {
    endpoint: `http://${listen}`,
    accessKeyId,
    accessKeySecret,
    storageDirectory,
    logFile: join(folder.path, 'service.log'),
    environment: {
      HOLDFAST_DATA: join(folder.path, 'data'),
      HOLDFAST_STORAGE: storageDirectory,
      HOLDFAST_LISTEN: listen,
      HOLDFAST_ACCESS_KEY_ID: accessKeyId,
      HOLDFAST_ACCESS_KEY_SECRET: accessKeySecret.reveal(),
      // The days that pass here are to show these sets, and no others.
      HOLDFAST_PAUSE: 'backups',
      ...(serverUser === null ? {} : { HOLDFAST_SERVER_USER: serverUser }),
      ...(temporary === null ? {} : { TMPDIR: temporary }),
    },
  }
}

/** The service as a process of its own. Disposing stops it and waits until it is gone. */
export class ServiceProcess implements AsyncDisposable {
  readonly setup: ServiceSetup
  readonly #folder: DemoFolder
  #child: ChildProcess | null = null

  constructor(setup: ServiceSetup, folder: DemoFolder) {
    this.setup = setup
    this.#folder = folder
  }

  get pid(): number {
    invariant(this.#child?.pid, 'the service was started')
    return this.#child.pid
  }

  /** Starts it and waits until it is healthy. */
  async start(signal: AbortSignal): Promise<void> {
    const { logFile, environment, endpoint } = this.setup
    const log = await open(logFile, 'a', 0o600)
    try {
      this.#child = spawn(process.execPath, [PROGRAM, 'serve', '--development-clock'], {
        env: environment,
        cwd: this.#folder.path,
        stdio: ['ignore', log.fd, log.fd],
        // A session of its own: Ctrl-C reaches this process alone, which then stops the service.
        detached: true,
      })
      await once(this.#child, 'spawn')
    } finally {
      await log.close()
    }
    await this.#folder.watch(this.pid)
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!(await isHealthy(endpoint, signal))) {
      if (!this.#running() || performance.now() > deadline) {
        const complaints = await lastComplaints(logFile, 5)
        throw new Fault('unfit', `the service did not start:\n${complaints.join('\n')}`)
      }
      await pause(POLL_MS, signal)
    }
  }

  /** `kill -9`: what it had started goes on without it. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL', STOP_TIMEOUT_MS)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('SIGTERM', STOP_TIMEOUT_MS)
    await this.#end('SIGKILL', STOP_TIMEOUT_MS)
  }

  async #end(kind: NodeJS.Signals, waitMs: number): Promise<void> {
    if (!this.#child || !this.#running()) return
    const waiting = AbortSignal.timeout(waitMs)
    const exited = once(this.#child, 'exit', { signal: waiting })
    this.#child.kill(kind)
    await exited.catch((error: unknown) => {
      // Not gone in time: the next signal is stronger.
      if (!waiting.aborted) throw error
    })
  }

  #running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }
}

/** Runs a command of the CLI to its end; gives its standard output, or a Fault with what it said. */
export async function runCommand(
  words: readonly string[],
  setup: ServiceSetup,
  folder: DemoFolder,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted()
  const child = spawn(process.execPath, [PROGRAM, ...words], {
    env: setup.environment,
    cwd: folder.path,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  const stop = () => child.kill()
  signal.addEventListener('abort', stop, { once: true })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  if (child.pid !== undefined) await folder.watch(child.pid)
  const [code] = (await ended) as [number | null]
  signal.removeEventListener('abort', stop)
  signal.throwIfAborted()
  if (code === 0) return output.stdout
  throw new Fault('unfit', `holdfast ${words.join(' ')} failed (${code})`, {
    cause: new Error(`${output.stderr}${output.stdout}`.trim()),
  })
}

/** A port of the loopback interface that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  invariant(address !== null && typeof address === 'object', 'a TCP server has a port')
  return address.port
}

async function isHealthy(endpoint: string, signal: AbortSignal): Promise<boolean> {
  try {
    const reply = await fetch(`${endpoint}/healthz`, { signal })
    await reply.text()
    return reply.ok
  } catch {
    // Nobody listens yet; an abort is noticed by the wait that follows.
    return false
  }
}
