import { open, readFile, stat } from 'node:fs/promises'
import { pause } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'

/** A line of the service's log: JSON, with the phrase under `message`. */
export type LogLine = Readonly<Record<string, unknown>>

/** The level of warnings in pino's numbering; errors are above. */
const WARNING = 40
const POLL_MS = 3

/** A place in the log, to wait from. */
export async function endOfLog(file: string): Promise<number> {
  return (await stat(file)).size
}

/** The first line from byte `from` on that matches; a Fault when none comes in time. */
export async function awaitLogLine(
  file: string,
  from: number,
  matches: (line: LogLine) => boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<LogLine> {
  const deadline = performance.now() + timeoutMs
  const handle = await open(file, 'r')
  try {
    let rest = ''
    let at = from
    while (performance.now() < deadline) {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(65_536), 0, 65_536, at)
      at += bytesRead
      // A line is ASCII as far as it is looked at, and pino writes it in one piece.
      const lines = (rest + buffer.toString('utf8', 0, bytesRead)).split('\n')
      rest = lines.pop() ?? ''
      const found = lines.map(parseLine).find((line) => line !== null && matches(line))
      if (found) return found
      if (bytesRead === 0) await pause(POLL_MS, signal)
    }
  } finally {
    await handle.close()
  }
  throw new Fault('transient', `the service's log did not tell it within ${timeoutMs / 1000} s`)
}

/** The last warnings and errors, as they stand in the log, and what is no JSON (a stack, say). */
export async function lastComplaints(file: string, count: number): Promise<readonly string[]> {
  const text = await readFile(file, 'utf8')
  const lines = text.split('\n').filter((line) => line !== '')
  return lines
    .filter((line) => Number(parseLine(line)?.['level'] ?? WARNING) >= WARNING)
    .slice(-count)
}

function parseLine(line: string): LogLine | null {
  if (!line.startsWith('{')) return null
  try {
    return JSON.parse(line) as LogLine
  } catch {
    // Cut short by a kill: it says nothing reliable.
    return null
  }
}
