import { copyFile, mkdir, open, stat, truncate } from 'node:fs/promises'
import { dirname } from 'node:path'

const MAX_LOG_BYTES = 8 * 1024 * 1024
const TAIL_BYTES = 4096

/**
 * Keeps a server's log bounded: beyond 8 MiB its text moves to `<file>.1` (replacing what was
 * there). The server writes in append mode by itself, so its log outlives this process, and lines
 * written between the copy and the cut are lost.
 */
export async function trimLog(file: string): Promise<void> {
  const facts = await stat(file).catch(() => null)
  if (facts === null || facts.size <= MAX_LOG_BYTES) return
  await copyFile(file, `${file}.1`)
  await truncate(file, 0)
}

/** Opens the log for a server to append to, making its folder when there is none. */
export async function openLog(file: string): Promise<Awaited<ReturnType<typeof open>>> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await trimLog(file)
  return open(file, 'a', 0o600)
}

/**
 * The last 4 KiB of what the log has got since it had `sinceBytes`, for an error message; empty when
 * there is none. A log that is shorter has been trimmed in between: all of it counts.
 */
export async function readLogTail(file: string, sinceBytes: number): Promise<string> {
  const handle = await open(file, 'r').catch(() => null)
  if (handle === null) return ''
  try {
    const { size } = await handle.stat()
    const start = Math.max(size < sinceBytes ? 0 : sinceBytes, size - TAIL_BYTES)
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.alloc(size - start),
      position: start,
    })
    return buffer.toString('utf8', 0, bytesRead).trim()
  } finally {
    await handle.close()
  }
}
