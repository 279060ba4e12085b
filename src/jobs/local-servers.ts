import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pause, rest } from '../base/clock.ts'
import { describeError, Fault, invariant, isFault } from '../base/fault.ts'
import type { FileLock } from '../base/file-lock.ts'
import type { Logger } from '../base/logger.ts'
import type { Sealer } from '../base/sealing.ts'
import { NO_TLS } from '../base/tls-settings.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { findInstance } from '../catalogue/instances.ts'
import type { LocalServerRecord } from '../catalogue/local-servers.ts'
import { localServersOf, localServersToRun, moveLocalServer } from '../catalogue/local-servers.ts'
import type { Endpoint, LocalEngine, LocalServerPlan } from '../engines/engine.ts'

type RunningServer = Awaited<ReturnType<LocalEngine['start']>>

/**
 * The servers of local instances that this process runs. Only the holder of the lock on the folder of
 * their directories may run one, or remove such a directory.
 */
export interface LocalServers extends AsyncDisposable {
  /** Waits until this process holds the lock. */
  take(signal: AbortSignal): Promise<void>
  /** Stops all servers and gives the lock back: another process runs them from now on. */
  release(): Promise<void>
  /** Whether a server's directory, there or not, has its place in the folder of the lock. */
  isOwn(directory: string): Promise<boolean>
  /** Starts the server unless it runs; repeatable. */
  ensureRunning(plan: LocalServerPlan, signal: AbortSignal): Promise<void>
  stop(node: string): Promise<void>
  /** Stops it, and refuses to start it again: its files are about to go. */
  retire(node: string): Promise<void>
  /** The duty: keeps every finished local instance's servers running until `signal` aborts. */
  supervise(signal: AbortSignal): Promise<void>
}

const SUPERVISE_MS = 1_000
const LOCK_PAUSE_MS = 500
const RESTART_PAUSE_MAX_MS = 30_000

/** How an engine plans a server that the catalogue has on record. */
export function planOf(
  server: LocalServerRecord,
  primaryPort: number | null,
  version: string,
  sealer: Sealer,
): LocalServerPlan {
  return {
    version,
    role: server.role,
    directory: server.directory,
    port: server.port,
    user: server.userName,
    password: sealer.open(server.passwordSealed),
    primaryPort: server.role === 'standby' ? primaryPort : null,
    node: server.node,
  }
}

export function endpointOf(server: LocalServerRecord, sealer: Sealer): Endpoint {
  return {
    role: server.role,
    node: server.node,
    host: '127.0.0.1',
    port: server.port,
    user: server.userName,
    password: sealer.open(server.passwordSealed),
    database: 'postgres',
    tls: NO_TLS,
  }
}

interface Needs {
  readonly catalogue: Catalogue
  readonly engine: LocalEngine
  readonly sealer: Sealer
  readonly freePort: () => Promise<number>
  /** Where the directories are that the lock is for. */
  readonly instancesDirectory: string
  /** Null while another process holds the lock. */
  readonly tryLock: () => Promise<FileLock | null>
  readonly log: Logger
}

export function createLocalServers(needs: Needs): LocalServers {
  const { engine, log } = needs
  const running = new Map<string, RunningServer>()
  /** Starts of one node follow one another: a job and the duty may ask at the same moment. */
  const starting = new Map<string, Promise<void>>()
  const retired = new Set<string>()
  const start = async (plan: LocalServerPlan, signal: AbortSignal) => {
    if (running.has(plan.node)) return
    if (retired.has(plan.node)) throw new Fault('not-found', `${plan.node} is being removed`)
    const server = await engine.start(plan, signal)
    running.set(plan.node, server)
    log.info('database server started', { node: plan.node, port: plan.port, pid: server.pid })
    server.exited
      .then(({ code, logTail }) => {
        // Absent: it was stopped on purpose.
        if (!running.delete(plan.node)) return
        log.warn('database server ended by itself', { node: plan.node, code, logTail })
      })
      .catch((error: unknown) => log.error('server watch', { error: describeError(error) }))
  }
  const ensureRunning = async (plan: LocalServerPlan, signal: AbortSignal) => {
    const before = starting.get(plan.node)
    const mine = (async () => {
      await before?.catch(() => {
        // Its own caller hears of it; this start is another try.
      })
      await start(plan, signal)
    })()
    starting.set(plan.node, mine)
    try {
      await mine
    } finally {
      if (starting.get(plan.node) === mine) starting.delete(plan.node)
    }
  }
  const stop = async (node: string) => {
    const server = running.get(node)
    running.delete(node)
    await server?.[Symbol.asyncDispose]()
  }
  const stopAll = async () => {
    await Promise.allSettled(starting.values())
    // Standbys first: a primary waits at shutdown until its standbys have everything.
    for (const node of [...running.keys()].reverse()) await stop(node)
  }
  const lock = createHeldLock(needs)
  const release = async () => {
    await stopAll()
    await lock.giveBack()
  }
  const isOwn = (directory: string) => isIn(directory, needs.instancesDirectory)
  return {
    take: lock.take,
    release,
    isOwn,
    ensureRunning,
    stop,
    retire: async (node) => {
      retired.add(node)
      await starting.get(node)?.catch(() => {
        // It did not start: there is nothing to stop.
      })
      await stop(node)
    },
    supervise: (signal) => {
      const isRunning = (node: string) => running.has(node)
      const servers = { isRunning, ensureRunning, stop, isOwn, isHeld: lock.isHeld }
      return supervise(needs, servers, signal)
    },
    [Symbol.asyncDispose]: release,
  }
}

/** A folder may be spelt differently at each start. */
async function isIn(directory: string, folder: string): Promise<boolean> {
  const parent = await realpath(dirname(directory)).catch(() => null) // Another host's.
  return parent === (await realpath(folder))
}

interface HeldLock {
  isHeld(): boolean
  readonly take: (signal: AbortSignal) => Promise<void>
  giveBack(): Promise<void>
}

function createHeldLock({ tryLock, log }: Pick<Needs, 'tryLock' | 'log'>): HeldLock {
  let held: FileLock | null = null
  return {
    isHeld: () => held !== null,
    take: async (signal) => {
      for (let tries = 1; held === null; tries += 1) {
        signal.throwIfAborted()
        const lock = await tryLock()
        held = lock
        const forget = () => {
          if (held === lock) held = null
        }
        lock?.lost.then(forget, forget)
        if (lock !== null) return
        if (tries === 1) log.info('another process still runs the local servers')
        await pause(LOCK_PAUSE_MS, signal)
      }
    },
    giveBack: async () => {
      const lock = held
      held = null
      await lock?.[Symbol.asyncDispose]()
    },
  }
}

interface Servers extends Pick<LocalServers, 'isOwn' | 'ensureRunning' | 'stop'> {
  isRunning(node: string): boolean
  isHeld(): boolean
}

async function supervise(needs: Needs, servers: Servers, signal: AbortSignal): Promise<void> {
  const { catalogue, sealer } = needs
  const failures = new Map<string, { count: number; notBefore: number }>()
  const elsewhere = new Set<string>()
  while (!signal.aborted) {
    for (const server of await catalogue.transaction(localServersToRun)) {
      if (!servers.isHeld()) throw new Fault('transient', 'the lock on local servers was lost')
      const failed = failures.get(server.node)
      if (servers.isRunning(server.node)) continue
      if (await isElsewhere(server, servers, elsewhere, needs.log)) continue
      if (failed && failed.notBefore > performance.now()) continue
      try {
        await servers.ensureRunning(await planFor(catalogue, server, sealer), signal)
        failures.delete(server.node)
      } catch (error) {
        if (signal.aborted) return
        const count = (failed?.count ?? 0) + 1
        const pauseMs = Math.min(RESTART_PAUSE_MAX_MS, SUPERVISE_MS * 2 ** count)
        failures.set(server.node, { count, notBefore: performance.now() + pauseMs })
        await reportFailure(needs, servers, server, count, error)
      }
    }
    await rest(SUPERVISE_MS, signal)
  }
}

/** A server whose files are on another host, or in another data folder, is left alone; told once. */
async function isElsewhere(
  { node, directory }: LocalServerRecord,
  servers: Pick<Servers, 'isOwn'>,
  told: Set<string>,
  log: Logger,
): Promise<boolean> {
  const there = (await stat(directory).catch(() => null)) !== null
  if (there && (await servers.isOwn(directory))) {
    told.delete(node)
    return false
  }
  if (!told.has(node)) log.warn('a local server is not in this data folder', { node, directory })
  told.add(node)
  return true
}

/**
 * A port that someone else took while the server was down is given up for another one. Standbys are
 * told where their primary is when they start, so they start again as well.
 */
async function reportFailure(
  { catalogue, freePort, log }: Needs,
  servers: Servers,
  server: LocalServerRecord,
  tries: number,
  error: unknown,
): Promise<void> {
  const { node } = server
  log.error('database server does not start', { node, tries, error: describeError(error) })
  if (!isFault(error, 'exists')) return
  const port = await freePort()
  const siblings = await catalogue.transaction(async (tx) => {
    await moveLocalServer(tx, node, port)
    return localServersOf(tx, server.instanceId)
  })
  for (const sibling of siblings) await servers.stop(sibling.node)
  log.warn('database server moves to another port', { node, from: server.port, port })
}

async function planFor(
  catalogue: Catalogue,
  server: LocalServerRecord,
  sealer: Sealer,
): Promise<LocalServerPlan> {
  const { instance, siblings } = await catalogue.transaction(async (tx) => ({
    instance: await findInstance(tx, server.instanceId),
    siblings: await localServersOf(tx, server.instanceId),
  }))
  invariant(instance, 'a local server belongs to an instance')
  const primary = siblings.find((sibling) => sibling.role === 'primary')
  return planOf(server, primary?.port ?? null, instance.instance.engineVersion, sealer)
}
