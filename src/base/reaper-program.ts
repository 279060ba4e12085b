/** The program behind `startReaper`: reads orders until the pipe ends, then cleans what is left. */
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { pause } from './clock.ts'
import { processStart, serversBelow, signalProcess } from './processes.ts'
import type { ReaperOrder } from './reaper.ts'

type Watched = Exclude<ReaperOrder, { readonly forget: number }>

const POLL_MS = 50
/** A service that is asked to stop may have a server with its last checkpoint to wait for. */
const POLITE_MS = 10_000
/** What is below a folder goes with it, so its servers need no checkpoint. */
const IMMEDIATE_MS = 3000
const FORCED_MS = 5000

const watched = new Map<number, Watched>()
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as ReaperOrder
  if ('forget' in order) watched.delete(order.forget)
  else watched.set(order.watch, order)
}
const left = [...watched.values()]
await Promise.all(left.map((one) => ('pid' in one ? endProcess(one.pid, one.start) : undefined)))
for (const one of left) {
  if ('folder' in one) await removeFolder(one.folder)
}

async function endProcess(pid: number, start: string): Promise<void> {
  const running = async () => ((await processStart(pid)) === start ? [pid] : [])
  await end(running, 'SIGTERM', POLITE_MS)
  await end(running, 'SIGKILL', FORCED_MS)
}

async function removeFolder(folder: string): Promise<void> {
  const running = () => serversBelow(folder)
  await end(running, 'SIGQUIT', IMMEDIATE_MS)
  await end(running, 'SIGKILL', FORCED_MS)
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}

/** Signals each process once, later ones too, and waits until none is left or the time is up. */
async function end(
  running: () => Promise<readonly number[]>,
  kind: NodeJS.Signals,
  waitMs: number,
): Promise<void> {
  const told = new Set<number>()
  for (let waitedMs = 0; waitedMs < waitMs; waitedMs += POLL_MS) {
    const pids = await running()
    if (pids.length === 0) return
    for (const pid of pids) {
      if (!told.has(pid)) signalProcess(pid, kind)
      told.add(pid)
    }
    await pause(POLL_MS)
  }
}
