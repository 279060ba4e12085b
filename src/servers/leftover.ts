import { readFile, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { Fault, systemCode } from '../base/fault.ts'
import { serverHome, serversOn, signalProcess } from '../base/processes.ts'

const POLL_MS = 50
/** Fast shutdown, immediate shutdown, kill: how long each may take before the next. */
const ESCALATION: readonly { readonly signal: NodeJS.Signals; readonly waitMs: number }[] = [
  { signal: 'SIGINT', waitMs: 30_000 },
  { signal: 'SIGQUIT', waitMs: 10_000 },
  { signal: 'SIGKILL', waitMs: 5000 },
]

/**
 * Ends whatever an earlier, killed service left running on a data directory, so that a new server
 * can start there: the server that `postmaster.pid` names and, when only its children are left
 * (they hold the shared memory), those. A process counts only when it is a `postgres` whose working
 * directory is this one. Afterwards a stale `postmaster.pid` is removed: its number may belong to
 * another program by now, and PostgreSQL would refuse to start.
 */
export async function stopLeftover(directory: string, signal: AbortSignal): Promise<void> {
  const home = await realpath(directory).catch(() => null)
  if (home === null) return
  const pidFile = join(home, 'postmaster.pid')
  const postmaster = await readPid(pidFile)
  for (const { signal: kind, waitMs } of ESCALATION) {
    const running = await serversOn(home)
    if (running.length === 0) break
    const targets = running.includes(postmaster ?? 0) ? [postmaster ?? 0] : running
    for (const pid of targets) await kill(pid, kind, home)
    await waitUntilGone(home, waitMs, signal)
  }
  const left = await serversOn(home)
  if (left.length > 0) {
    throw new Fault('transient', `processes ${left.join(', ')} on ${directory} do not end`)
  }
  await rm(pidFile, { force: true })
}

async function kill(pid: number, kind: NodeJS.Signals, home: string): Promise<void> {
  // Asked again at the last moment: a number may have passed to another program.
  if ((await serverHome(pid)) === home) signalProcess(pid, kind)
}

async function waitUntilGone(home: string, waitMs: number, signal: AbortSignal): Promise<void> {
  for (let waitedMs = 0; waitedMs < waitMs; waitedMs += POLL_MS) {
    if ((await serversOn(home)).length === 0) return
    await pause(POLL_MS, signal)
  }
}

async function readPid(pidFile: string): Promise<number | null> {
  try {
    const pid = Number((await readFile(pidFile, 'utf8')).split('\n')[0])
    return Number.isInteger(pid) && pid > 1 ? pid : null
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}
