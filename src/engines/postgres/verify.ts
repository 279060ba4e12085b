import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileFault } from '../../base/fault.ts'
import { AUTO_CONF } from './configuration.ts'
import { segmentNames, segmentStart } from './lsn.ts'
import {
  type BackupManifest,
  MANIFEST_NAME,
  type ManifestFile,
  parseManifest,
  throwIfWrong,
  type WalRange,
} from './manifest.ts'

/** What `pg_verifybackup` passes over: the manifest, and files that a restore changes. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  MANIFEST_NAME,
  AUTO_CONF,
  'pg_wal',
  'recovery.signal',
  'standby.signal',
])
/** Added by the preparation of a restored directory when the set held none. */
const ADDED: ReadonlySet<string> = new Set(['postgresql.conf', 'pg_hba.conf'])
const READ_BYTES = 1024 * 1024

export async function verifyPostgres(
  directory: string,
  signal: AbortSignal,
  progress: (bytes: number) => void,
  mayHold: readonly string[],
): Promise<{ readonly files: number; readonly bytes: number }> {
  try {
    const manifest = parseManifest(await readFile(join(directory, MANIFEST_NAME)))
    const wrong: string[] = []
    let bytes = 0
    for (const [path, expected] of manifest.files) {
      const finding = await checkFile(directory, path, expected, signal, progress)
      if (finding === null) bytes += expected.sizeBytes
      else wrong.push(finding)
    }
    for await (const path of filesUnder(directory, '')) {
      if (!manifest.files.has(path) && !ADDED.has(path) && !mayHold.includes(path)) {
        wrong.push(`${path} is not in the backup manifest`)
      }
    }
    wrong.push(...(await missingWal(directory, manifest)))
    throwIfWrong(wrong)
    return { files: manifest.files.size, bytes }
  } catch (error) {
    throw fileFault(error, `cannot verify ${directory}`)
  }
}

/** Null when the file is as the manifest says, else what is wrong with it. */
async function checkFile(
  directory: string,
  path: string,
  expected: ManifestFile,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<string | null> {
  if (PASSED_OVER.has(path)) return null
  const facts = await stat(join(directory, path)).catch(() => null)
  if (facts === null) return `${path} is missing`
  if (facts.size !== expected.sizeBytes) {
    return `${path} has ${facts.size} bytes instead of ${expected.sizeBytes}`
  }
  const hash = createHash('sha256')
  const content = createReadStream(join(directory, path), { highWaterMark: READ_BYTES, signal })
  for await (const bytes of content as AsyncIterable<Buffer>) {
    hash.update(bytes)
    progress(bytes.length)
  }
  return hash.digest('hex') === expected.checksum ? null : `${path} has another checksum`
}

async function* filesUnder(directory: string, prefix: string): AsyncGenerator<string> {
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`
    if (PASSED_OVER.has(path)) continue
    // Tablespaces may be links to directories.
    const isFolder = entry.isSymbolicLink()
      ? (await stat(join(directory, path))).isDirectory()
      : entry.isDirectory()
    if (isFolder) yield* filesUnder(directory, path)
    else yield path
  }
}

/** Segments that recovery needs and that are not there, or hold another part of the log. */
async function missingWal(directory: string, manifest: BackupManifest): Promise<readonly string[]> {
  const present = (await readdir(join(directory, 'pg_wal'))).filter((name) =>
    /^[0-9A-F]{24}$/.test(name),
  )
  const [first] = present
  if (first === undefined) return ['pg_wal holds no write-ahead log']
  const segmentBytes = (await stat(join(directory, 'pg_wal', first))).size
  if (segmentBytes < 2 ** 20 || (segmentBytes & (segmentBytes - 1)) !== 0) {
    return [`pg_wal/${first} has ${segmentBytes} bytes, which no segment has`]
  }
  const wrong: string[] = []
  for (const range of manifest.walRanges) {
    wrong.push(...(await wrongSegments(directory, range, segmentBytes)))
  }
  return wrong
}

async function wrongSegments(
  directory: string,
  range: WalRange,
  segmentBytes: number,
): Promise<readonly string[]> {
  const wrong: string[] = []
  let at: bigint = segmentStart(range.start, segmentBytes)
  for (const name of segmentNames(range.timeline, range.start, range.end, segmentBytes)) {
    const finding = await segmentFinding(join(directory, 'pg_wal', name), at, segmentBytes)
    if (finding !== null) wrong.push(`pg_wal/${name} ${finding}`)
    at += BigInt(segmentBytes)
  }
  return wrong
}

/**
 * A segment begins with a page header that tells its own position: magic, flags (2 bytes each),
 * timeline (4), then the position (8), little endian on every platform we run on
 * (PostgreSQL source, xlog_internal.h: XLogPageHeaderData).
 */
async function segmentFinding(
  path: string,
  at: bigint,
  segmentBytes: number,
): Promise<string | null> {
  const handle = await open(path, 'r').catch(() => null)
  if (handle === null) return 'is missing'
  try {
    if ((await handle.stat()).size !== segmentBytes) return 'has not the length of a segment'
    const { buffer } = await handle.read({ buffer: Buffer.alloc(16), position: 0 })
    return buffer.readBigUInt64LE(8) === at ? null : 'holds another part of the log'
  } finally {
    await handle.close()
  }
}
