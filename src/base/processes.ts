import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { systemCode } from './fault.ts'

/** What the kernel appends to the path of a file that has been removed (proc(5)). */
const DELETED = / \(deleted\)$/

/**
 * When a process was started, in clock ticks since the machine's: with the pid it names a process
 * for good, as a pid alone does not. Null when there is no such process (a zombie counts as none).
 * Source: proc(5), field 22 of /proc/pid/stat; the program's name before it may hold anything.
 */
export async function processStart(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null) // Gone.
  if (text === null) return null
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' ? null : (fields[19] ?? null)
}

/** Signals a process; one that is gone already needs no signal. */
export function signalProcess(pid: number, kind: NodeJS.Signals): void {
  try {
    process.kill(pid, kind)
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}

/** Pids of the `postgres` processes that work in a real path or below; children included. */
export function serversBelow(folder: string): Promise<readonly number[]> {
  return findServers((home) => home === folder || home.startsWith(`${folder}/`))
}

/** Pids of the `postgres` processes that work in this very directory, a real path. */
export function serversOn(directory: string): Promise<readonly number[]> {
  return findServers((home) => home === directory)
}

/**
 * The data directory of a `postgres` process, its children's too; null for any other process. It is
 * the working directory, whatever the command line shows, and the path it had when it is removed.
 */
export async function serverHome(pid: number): Promise<string | null> {
  try {
    const program = await readlink(`/proc/${pid}/exe`)
    if (basename(program.replace(DELETED, '')) !== 'postgres') return null
    return (await readlink(`/proc/${pid}/cwd`)).replace(DELETED, '')
  } catch {
    return null // Gone in the meantime, a zombie, or another user's: no server of ours.
  }
}

async function findServers(isWanted: (home: string) => boolean): Promise<readonly number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const home = await serverHome(Number(name))
    if (home !== null && isWanted(home)) found.push(Number(name))
  }
  return found
}
