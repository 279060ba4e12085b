import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { lchown, open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Client } from 'pg'
import { pause } from '../base/clock.ts'
import { Fault, systemCode } from '../base/fault.ts'
import { Secret } from '../base/secret.ts'
import { freePort } from './service-process.ts'
import { withDatabase } from './sql-client.ts'

/** What a copy's server is run with: the same program and the same account as the original's. */
export interface ServerFacts {
  readonly program: string
  readonly uid: number
  readonly gid: number
}

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 20_000
const POLL_MS = 100

/** Asks a running server of this machine. */
export async function factsOfServer(client: Client): Promise<ServerFacts> {
  const { rows } = await client.query<{ bin: string; data: string }>(
    `select (select setting from pg_config where name = 'BINDIR') as bin,
       current_setting('data_directory') as data`,
  )
  const { uid, gid } = await stat(rows[0]?.data ?? '')
  return { program: join(rows[0]?.bin ?? '', 'postgres'), uid, gid }
}

/** A server on a restored directory, on a loopback port of its own. Disposing stops it. */
export class RestoredServer implements AsyncDisposable {
  readonly url: Secret<string>
  readonly #child: ChildProcess

  private constructor(url: Secret<string>, child: ChildProcess) {
    this.url = url
    this.#child = child
  }

  /** `original` is the URL of the server the set came from: the copy has its users and passwords. */
  static async start(
    directory: string,
    facts: ServerFacts,
    original: Secret<string>,
    signal: AbortSignal,
  ): Promise<RestoredServer> {
    await handOver(directory, facts)
    const port = await freePort()
    const logFile = `${directory}.log`
    const server = new RestoredServer(
      withPort(original, port),
      await launch(directory, port, logFile, facts),
    )
    try {
      await server.#untilReady(logFile, signal)
      return server
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kind of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
      if (this.#ended()) return
      const waiting = AbortSignal.timeout(STOP_TIMEOUT_MS)
      const exited = once(this.#child, 'exit', { signal: waiting })
      this.#child.kill(kind)
      await exited.catch((error: unknown) => {
        // Not gone in time: the next signal is stronger.
        if (!waiting.aborted) throw error
      })
    }
  }

  async #untilReady(logFile: string, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS
    for (;;) {
      const failure = await withDatabase(this.url, signal, () => Promise.resolve(null)).catch(
        (error: unknown) => error,
      )
      if (failure === null) return
      if (this.#ended() || performance.now() > deadline || !isNotReady(failure)) {
        const log = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-5).join('\n')
        throw new Fault('unfit', `no server starts on the restored files:\n${log}`, {
          cause: failure,
        })
      }
      await pause(POLL_MS, signal)
    }
  }

  #ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }
}

/** Nobody listens yet, or the server still recovers (57P03, cannot_connect_now). */
function isNotReady(error: unknown): boolean {
  return ['ECONNREFUSED', '57P03'].includes(systemCode(error) ?? '')
}

async function launch(
  directory: string,
  port: number,
  logFile: string,
  { program, uid, gid }: ServerFacts,
): Promise<ChildProcess> {
  const settings = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    'unix_socket_directories=',
    'logging_collector=off',
  ]
  const log = await open(logFile, 'w', 0o600)
  try {
    const child = spawn(program, ['-D', directory, ...settings.flatMap((text) => ['-c', text])], {
      ...(process.getuid?.() === 0 ? { uid, gid } : {}),
      cwd: directory,
      env: { LC_ALL: 'C' },
      stdio: ['ignore', log.fd, log.fd],
      // A session of its own: Ctrl-C reaches this process alone, which then stops the server.
      detached: true,
    })
    await once(child, 'spawn')
    return child
  } finally {
    await log.close()
  }
}

/** Restoring as root leaves root's files, which no server may use. */
async function handOver(directory: string, { uid, gid }: ServerFacts): Promise<void> {
  if (process.getuid?.() !== 0) return
  await lchown(directory, uid, gid)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), uid, gid)
  }
}

function withPort(original: Secret<string>, port: number): Secret<string> {
  const url = new URL(original.reveal())
  url.port = String(port)
  return new Secret(url.href)
}
