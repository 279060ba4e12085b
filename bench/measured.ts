import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { pause } from '../src/base/clock.ts'

/** What a piece of work took. */
export interface Cost {
  readonly seconds: number
  /** User and system time of all threads and, of a command, of the processes it waited for. */
  readonly cpuSeconds: number
  /** The most memory resident at once; of a command, the sum over its processes. */
  readonly peakBytes: number
}

const SAMPLE_MS = 20
/** Ticks of /proc's times in a second: USER_HZ, the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

/** Work of this very process. The peak begins anew with it, at what is resident by then. */
export async function measured<Result>(
  work: () => Promise<Result>,
): Promise<{ readonly cost: Cost; readonly result: Result }> {
  // 5 resets the high-water mark: proc(5), /proc/pid/clear_refs.
  await writeFile('/proc/self/clear_refs', '5')
  const cpu = process.cpuUsage()
  const start = performance.now()
  const result = await work()
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const peakBytes = (await statusBytes('self', 'VmHWM')) ?? 0
  return { cost: { seconds, cpuSeconds: (user + system) / 1e6, peakBytes }, result }
}

/** A command from its start to its end; fails unless that is exit code 0. */
export async function measuredCommand(
  command: string,
  parameters: readonly string[],
  options: { readonly uid?: number; readonly gid?: number; readonly cwd?: string } = {},
): Promise<Cost> {
  const before = await waitedCpuSeconds()
  const start = performance.now()
  const child = spawn(command, parameters, {
    ...options,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      said = `${said}${bytes.toString('utf8')}`.slice(-4000)
    })
  }
  let endedAt = start
  const closed = once(child, 'close').then(([code]: (number | null)[]) => {
    endedAt = performance.now()
    return code
  })
  const peakBytes = await peakOf(child.pid ?? 0, closed)
  const code = await closed
  if (code !== 0) throw new Error(`${command} ${parameters.join(' ')} ended with ${code}: ${said}`)
  const seconds = (endedAt - start) / 1000
  return { seconds, cpuSeconds: (await waitedCpuSeconds()) - before, peakBytes }
}

/** Costs of steps that were done one after the other. */
export function summed(costs: readonly Cost[]): Cost {
  return {
    seconds: costs.reduce((total, { seconds }) => total + seconds, 0),
    cpuSeconds: costs.reduce((total, { cpuSeconds }) => total + cpuSeconds, 0),
    peakBytes: Math.max(...costs.map(({ peakBytes }) => peakBytes)),
  }
}

/** CPU time of a process and of those children of it that have ended. */
export async function familyCpuSeconds(pid: number): Promise<number> {
  return sumOfTicks(pid, 11, 15)
}

function waitedCpuSeconds(): Promise<number> {
  return sumOfTicks('self', 13, 15)
}

/** Fields of /proc/pid/stat behind the name: utime 11, stime 12, cutime 13, cstime 14. */
async function sumOfTicks(pid: number | 'self', first: number, end: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(first, end).reduce((total, field) => total + Number(field), 0)
  return ticks / TICKS_PER_SECOND
}

async function peakOf(pid: number, ended: Promise<unknown>): Promise<number> {
  let running = true
  const end = (): void => {
    running = false
  }
  ended.then(end, end)
  let peakBytes = 0
  while (running) {
    peakBytes = Math.max(peakBytes, await residentBytes(pid))
    await Promise.race([pause(SAMPLE_MS), ended])
  }
  return peakBytes
}

async function residentBytes(pid: number): Promise<number> {
  const own = (await statusBytes(pid, 'VmRSS')) ?? 0
  // The process may end at any moment: then it has no children and holds nothing.
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const pids = children.split(' ').filter((text) => /^\d+$/.test(text))
  const theirs = await Promise.all(pids.map((text) => residentBytes(Number(text))))
  return theirs.reduce((total, bytes) => total + bytes, own)
}

async function statusBytes(pid: number | 'self', field: string): Promise<number | null> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
  return kibibytes === undefined ? null : Number(kibibytes) * 1024
}
