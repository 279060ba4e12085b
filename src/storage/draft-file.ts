import type { FileHandle } from 'node:fs/promises'
import { link, open, rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { systemCode } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'

/** No object's name contains it, so what a killed process left unfinished is told from objects. */
const DRAFT_MARK = '~'
const COMPARE_BYTES = 1024 * 1024

export function draftPath(path: string): string {
  return `${path}${DRAFT_MARK}${randomName(12)}`
}

export function isDraft(path: string): boolean {
  return basename(path).includes(DRAFT_MARK)
}

/** The last segment of the object that a directory entry is, or is an unfinished write of. */
export function segmentOf(entry: string): string {
  return entry.split(DRAFT_MARK, 1)[0] ?? ''
}

/** Fills and fsyncs the draft just opened, and closes it; on any failure nothing is left of it. */
export async function fillDraft(
  draft: { readonly path: string; readonly handle: FileHandle },
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<number> {
  try {
    let sizeBytes = 0
    try {
      for await (const block of bytes) {
        signal.throwIfAborted()
        await writeFully(draft.handle, block)
        sizeBytes += block.length
      }
      signal.throwIfAborted()
      await draft.handle.sync()
    } finally {
      await draft.handle.close()
    }
    return sizeBytes
  } catch (error) {
    await rm(draft.path, { force: true })
    throw error
  }
}

/** Gives the draft its name unless that is taken; true = it has it now. The draft stays as it is. */
export async function claimName(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  }
}

export async function sameContent(left: string, right: string): Promise<boolean> {
  const [first, second] = await Promise.all([open(left, 'r'), open(right, 'r')])
  try {
    const sizes = await Promise.all([first.stat(), second.stat()])
    const sizeBytes = sizes[0].size
    if (sizeBytes !== sizes[1].size) return false
    for (let offset = 0; offset < sizeBytes; offset += COMPARE_BYTES) {
      const length = Math.min(COMPARE_BYTES, sizeBytes - offset)
      const blocks = await Promise.all([
        readFully(first, offset, length),
        readFully(second, offset, length),
      ])
      if (!blocks[0].equals(blocks[1])) return false
    }
    return true
  } finally {
    await Promise.all([first.close(), second.close()])
  }
}

/** Reads up to `length` bytes; fewer only when the file ends. */
export async function readFully(
  handle: FileHandle,
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) return bytes.subarray(0, filled)
    filled += bytesRead
  }
  return bytes
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written)
    written += bytesWritten
  }
}
