import { chmod, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { serversBelow, signalProcess } from '../base/processes.ts'
import { type Reaper, startReaper } from '../base/reaper.ts'

const POLL_MS = 50
const IMMEDIATE_STOP_MS = 5000
/** The service's sockets lie up to 64 characters below it, and a socket's path is short. */
const SOCKET_ROOM_MAX = 34

/**
 * The one place in which everything of the demonstration lies. Disposing stops every database server
 * in it and removes it; when this process is killed, its reaper does.
 */
export class DemoFolder implements AsyncDisposable {
  readonly path: string
  readonly #reaper: Reaper

  private constructor(path: string, reaper: Reaper) {
    this.path = path
    this.#reaper = reaper
  }

  static async make(): Promise<DemoFolder> {
    const reaper = startReaper()
    const path = await mkdtemp(join(await realpath(tmpdir()), 'hf-demo-'))
    await reaper.watchFolder(path)
    // The user of the database servers, who may be another one, passes through it.
    await chmod(path, 0o711)
    return new DemoFolder(path, reaper)
  }

  /** A folder for the temporary files of child processes; null when sockets in it had no room. */
  async temporaryFolder(): Promise<string | null> {
    const folder = join(this.path, 't')
    if (folder.length > SOCKET_ROOM_MAX) return null
    await mkdir(folder, { recursive: true, mode: 0o711 })
    return folder
  }

  /** Ends the process, too, when this one is killed. */
  async watch(pid: number): Promise<void> {
    await this.#reaper.watchProcess(pid)
  }

  /** From here on nothing is stopped or removed any more. */
  async leaveBehind(): Promise<void> {
    await this.#reaper[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopServers(this.path, 'SIGQUIT')
    await stopServers(this.path, 'SIGKILL')
    await rm(this.path, { recursive: true, force: true, maxRetries: 5 })
    await this.#reaper[Symbol.asyncDispose]()
  }
}

async function stopServers(folder: string, kind: 'SIGQUIT' | 'SIGKILL'): Promise<void> {
  for (let waitedMs = 0; waitedMs < IMMEDIATE_STOP_MS; waitedMs += POLL_MS) {
    const pids = await serversBelow(folder)
    if (pids.length === 0) return
    if (waitedMs === 0) for (const pid of pids) signalProcess(pid, kind)
    await pause(POLL_MS)
  }
}
