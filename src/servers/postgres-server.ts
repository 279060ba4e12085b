import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pause } from '../base/clock.ts'
import { Fault, invariant } from '../base/fault.ts'
import type { PostgresBinaries } from './binaries.ts'
import { stopLeftover } from './leftover.ts'
import { SERVER_ENVIRONMENT } from './postgres-data.ts'
import type { RunningServer } from './running-server.ts'
import { openLog, readLogTail, trimLog } from './server-log.ts'
import {
  giveToUser,
  requireOpenWay,
  type ServerUser,
  spawnIds,
  takeOverDirectory,
} from './server-user.ts'
import { askStartup } from './startup-probe.ts'

/** How a server on an existing data directory is started. */
export interface PostgresStart {
  readonly directory: string
  readonly binaries: PostgresBinaries
  readonly user: ServerUser | null
  /** Names the socket file as well, so it is needed even when the server listens nowhere else. */
  readonly port: number
  /** `loopback` = 127.0.0.1 beside the socket; `socket` = the socket alone. */
  readonly listen: 'loopback' | 'socket'
  /** A folder of this server's own (0700, made here); its path must stay short. */
  readonly socketDirectory: string
  readonly logFile: string
  /** Settings that win over those of the data directory. They are visible in the process list. */
  readonly settings?: Readonly<Record<string, string>>
  /** Crash recovery counts towards it. */
  readonly startTimeoutMs?: number
}

/** The server's words (PostgreSQL source, pqcomm.c) with the system's for EADDRINUSE. */
const PORT_TAKEN = /could not (bind|listen on) IPv4 address .*: Address already in use/
const SOCKET_PATH_MAX_BYTES = 100
const START_TIMEOUT_MS = 180_000
const POLL_MS = 20
const TRIM_EVERY_MS = 60_000
const FAST_STOP_MS = 30_000
const IMMEDIATE_STOP_MS = 10_000

/**
 * Starts a server and waits until it lets clients in. What an earlier, killed process left running
 * on the directory is stopped first, and a directory of another user becomes this one's. The server
 * outlives this process when that is killed.
 * A port that another program listens on is a Fault 'exists'.
 */
export async function startPostgres(
  start: PostgresStart,
  signal: AbortSignal,
): Promise<RunningServer> {
  await requireOpenWay(start.directory, start.user)
  await stopLeftover(start.directory, signal)
  await takeOverDirectory(start.directory, start.user)
  const socketPath = await prepareSocketDirectory(start)
  const server = await launch(start)
  try {
    await untilReady(server, socketPath, start, signal)
    return server
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

class PostgresServer implements RunningServer {
  readonly pid: number
  readonly port: number
  readonly exited: RunningServer['exited']
  readonly #child: ChildProcess
  readonly #trimming: NodeJS.Timeout

  readonly #logFile: string
  readonly #logStart: number

  /** `logStart`: the length of the log, in bytes, before this server wrote to it. */
  constructor(child: ChildProcess, start: PostgresStart, logStart: number) {
    invariant(child.pid !== undefined, 'a spawned server has a pid')
    this.pid = child.pid
    this.port = start.port
    this.#child = child
    this.#logFile = start.logFile
    this.#logStart = logStart
    this.#trimming = setInterval(() => {
      // A log that cannot be trimmed now is tried again in a minute; the server is unaffected.
      trimLog(start.logFile).catch(() => undefined)
    }, TRIM_EVERY_MS).unref()
    const gone = child.exitCode !== null || child.signalCode !== null
    const exit = gone ? Promise.resolve([child.exitCode]) : once(child, 'exit')
    this.exited = exit.then(async ([code]: (number | null)[]) => {
      clearInterval(this.#trimming)
      return { code: code ?? null, logTail: await this.readLogTail() }
    })
  }

  /** The end of what this server has logged; empty when that cannot be read. */
  readLogTail(): Promise<string> {
    return readLogTail(this.#logFile, this.#logStart).catch(() => '')
  }

  /** Fast shutdown; after 30 s immediate, which the next start repairs by crash recovery. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.#endsAfter('SIGINT', FAST_STOP_MS)) return
    if (await this.#endsAfter('SIGQUIT', IMMEDIATE_STOP_MS)) return
    this.#child.kill('SIGKILL')
    await this.exited
  }

  async #endsAfter(kind: NodeJS.Signals, waitMs: number): Promise<boolean> {
    this.#child.kill(kind)
    const waiting = new AbortController()
    const timeout = pause(waitMs, waiting.signal).then(
      () => false,
      () => true,
    )
    const ended = await Promise.race([this.exited.then(() => true), timeout])
    waiting.abort()
    return ended
  }
}

/** Socket files of a killed server would stop the next one when their pid is in use again. */
async function prepareSocketDirectory(start: PostgresStart): Promise<string> {
  const folder = start.socketDirectory
  const socketPath = join(folder, `.s.PGSQL.${start.port}`)
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_MAX_BYTES) {
    throw new Fault('unfit', `the socket path ${socketPath} is longer than 100 bytes`, {
      hint: 'choose a shorter folder for sockets',
    })
  }
  await mkdir(dirname(folder), { recursive: true, mode: 0o755 })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
  await giveToUser(folder, start.user)
  await requireOpenWay(socketPath, start.user)
  for (const name of await readdir(folder)) {
    if (name.startsWith('.s.PGSQL.')) await rm(join(folder, name))
  }
  return socketPath
}

async function launch(start: PostgresStart): Promise<PostgresServer> {
  const settings: Record<string, string> = {
    // The copy's own postgresql.conf may still name the files of the home it came from.
    data_directory: start.directory,
    hba_file: join(start.directory, 'pg_hba.conf'),
    ident_file: join(start.directory, 'pg_ident.conf'),
    external_pid_file: '',
    listen_addresses: start.listen === 'loopback' ? '127.0.0.1' : '',
    port: String(start.port),
    unix_socket_directories: start.socketDirectory,
    unix_socket_permissions: '0700',
    logging_collector: 'off',
    log_destination: 'stderr',
    ...start.settings,
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const log = await openLog(start.logFile)
  try {
    const { size } = await log.stat()
    return new PostgresServer(await spawnServer(start, options, log.fd), start, size)
  } finally {
    await log.close()
  }
}

async function spawnServer(
  start: PostgresStart,
  options: readonly string[],
  log: number,
): Promise<ChildProcess> {
  try {
    const child = spawn(start.binaries.postgres, ['-D', start.directory, ...options], {
      ...spawnIds(start.user),
      cwd: start.directory,
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', log, log],
      // A session of its own: Ctrl-C in a terminal must reach this process alone, which still
      // needs the server while it shuts down.
      detached: true,
    })
    await once(child, 'spawn')
    return child
  } catch (error) {
    throw new Fault('unfit', `${start.binaries.postgres} cannot be run`, { cause: error })
  }
}

async function untilReady(
  server: PostgresServer,
  socketPath: string,
  start: PostgresStart,
  signal: AbortSignal,
): Promise<void> {
  const timeoutMs = start.startTimeoutMs ?? START_TIMEOUT_MS
  const ended = server.exited.then(({ code, logTail }) => {
    throw endedFault(start, code, logTail)
  })
  ended.catch(() => undefined)
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const answer = await Promise.race([askStartup({ path: socketPath }, 'postgres'), ended])
    if (answer === 'accepts') return
    await Promise.race([pause(POLL_MS, signal), ended])
  }
  const tail = await server.readLogTail()
  throw new Fault('transient', `the server on ${start.directory} is not ready: ${tail}`)
}

function endedFault(start: PostgresStart, code: number | null, logTail: string): Fault {
  const message = `the server on ${start.directory} ended (${code}): ${logTail}`
  if (!PORT_TAKEN.test(logTail)) return new Fault('unfit', message)
  return new Fault('exists', `the port ${start.port} is taken by another program: ${message}`, {
    hint: `end what listens on port ${start.port} of 127.0.0.1`,
  })
}
