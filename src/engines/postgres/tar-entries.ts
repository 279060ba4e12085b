import { createHash } from 'node:crypto'
import { type Extract, extract as extractTar } from 'tar-stream'
import { Fault } from '../../base/fault.ts'
import type { TreeEntry } from '../../base/file-tree.ts'
import type { ManifestFile } from './manifest.ts'

type Entry = Extract extends AsyncIterable<infer Source> ? Source : never

const PERMISSION_BITS = 0o777
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

/**
 * The entries of one tar archive, read as it streams, every path behind `prefix`. Each file's size
 * and SHA-256 are put into `seen` when its content has been read to its end.
 */
export async function* readTar(
  pieces: AsyncIterable<Buffer>,
  prefix: string,
  seen: Map<string, ManifestFile>,
): AsyncGenerator<TreeEntry> {
  const archive = extractTar()
  const source: FeedState = { fault: null }
  const feeding = feed(archive, pieces).catch((error: unknown) => {
    source.fault = error
    archive.destroy(asError(error))
  })
  try {
    for await (const entry of archive) yield toTreeEntry(entry, prefix, seen, source)
  } catch (error) {
    throw source.fault ?? error
  } finally {
    archive.destroy()
    await feeding
  }
}

/** What ended the feeding: readers of the archive see only that their stream was destroyed. */
interface FeedState {
  fault: unknown
}

async function feed(archive: Extract, pieces: AsyncIterable<Buffer>): Promise<void> {
  for await (const piece of pieces) {
    if (archive.destroyed) return
    if (!archive.write(piece)) await untilDrained(archive)
  }
  archive.end(null)
}

function untilDrained(archive: Extract): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      archive.off('drain', settle)
      archive.off('close', settle)
      resolve()
    }
    archive.on('drain', settle)
    archive.on('close', settle)
    if (archive.destroyed) settle()
  })
}

function toTreeEntry(
  entry: Entry,
  prefix: string,
  seen: Map<string, ManifestFile>,
  source: FeedState,
): TreeEntry {
  const { name, type, mode, linkname } = entry.header
  const path = `${prefix}${name.replace(/^\.\//, '').replace(/\/$/, '')}`
  if (type === 'directory') {
    entry.resume()
    return { kind: 'directory', path, mode: (mode ?? DIRECTORY_MODE) & PERMISSION_BITS }
  }
  if (type === 'symlink') {
    entry.resume()
    return { kind: 'link', path, mode: 0o777, target: linkname ?? '' }
  }
  if (type !== 'file' && type !== 'contiguous-file') {
    throw new Fault(
      'corrupt',
      `the server sent ${path} as a ${type}, which no data directory holds`,
    )
  }
  return {
    kind: 'file',
    path,
    mode: (mode ?? FILE_MODE) & PERMISSION_BITS,
    content: hashed(
      entry as AsyncIterable<unknown> as AsyncIterable<Uint8Array>,
      path,
      seen,
      source,
    ),
  }
}

async function* hashed(
  content: AsyncIterable<Uint8Array>,
  path: string,
  seen: Map<string, ManifestFile>,
  source: FeedState,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  try {
    for await (const bytes of content) {
      hash.update(bytes)
      sizeBytes += bytes.length
      yield bytes
    }
  } catch (error) {
    throw source.fault ?? error
  }
  if (seen.has(path)) throw new Fault('corrupt', `the server sent ${path} twice`)
  seen.set(path, { sizeBytes, checksum: hash.digest('hex') })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
