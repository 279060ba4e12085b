import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { systemCode } from './fault.ts'

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
export async function serversBelow(folder: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (/^\d+$/.test(name) && (await isServerBelow(Number(name), folder))) found.push(Number(name))
  }
  return found
}

/** A server's working directory is its data directory, whatever its command line shows. */
async function isServerBelow(pid: number, folder: string): Promise<boolean> {
  try {
    const home = (await readlink(`/proc/${pid}/cwd`)).replace(/ \(deleted\)$/, '')
    if (home !== folder && !home.startsWith(`${folder}/`)) return false
    const program = (await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '')
    return basename(program) === 'postgres'
  } catch {
    return false // Gone in the meantime, or another user's: no server of ours.
  }
}
