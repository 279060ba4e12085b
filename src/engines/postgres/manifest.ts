import { createHash } from 'node:crypto'
import { Fault } from '../../base/fault.ts'
import { type Lsn, parseLsn } from './lsn.ts'

/** One file as the server's `backup_manifest` describes it. */
export interface ManifestFile {
  readonly sizeBytes: number
  /** SHA-256, lower-case hex. */
  readonly checksum: string
}

/** The write-ahead log that a backup needs to become consistent. */
export interface WalRange {
  readonly timeline: number
  readonly start: Lsn
  readonly end: Lsn
}

export interface BackupManifest {
  readonly files: ReadonlyMap<string, ManifestFile>
  readonly walRanges: readonly WalRange[]
}

/** How the manifest of a data directory is called there. */
export const MANIFEST_NAME = 'backup_manifest'

interface ManifestText {
  readonly 'PostgreSQL-Backup-Manifest-Version'?: unknown
  readonly Files?: readonly {
    readonly Path?: unknown
    readonly Size?: unknown
    readonly 'Checksum-Algorithm'?: unknown
    readonly Checksum?: unknown
  }[]
  readonly 'WAL-Ranges'?: readonly {
    readonly Timeline?: unknown
    readonly 'Start-LSN'?: unknown
    readonly 'End-LSN'?: unknown
  }[]
}

/**
 * Reads a manifest after checking it against its own checksum, which covers every byte before the
 * line that holds it (PostgreSQL manual, "Backup Manifest Format"). The system identifier is not
 * read: a JSON number would round it.
 */
export function parseManifest(bytes: Uint8Array): BackupManifest {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  checkOwnChecksum(buffer)
  const text = JSON.parse(buffer.toString('utf8')) as ManifestText
  const version = text['PostgreSQL-Backup-Manifest-Version']
  if (version !== 1 && version !== 2) {
    throw new Fault('unfit', `backup manifests of version ${version} are not known`)
  }
  const files = new Map<string, ManifestFile>()
  for (const file of text.Files ?? []) {
    if (typeof file.Path !== 'string') {
      throw new Fault('unfit', 'the data directory holds a file whose name is not UTF-8', {
        hint: 'remove it: PostgreSQL itself makes no such names',
      })
    }
    if (file['Checksum-Algorithm'] !== 'SHA256' || typeof file.Checksum !== 'string') {
      throw new Fault('corrupt', `the backup manifest has no SHA-256 checksum of ${file.Path}`)
    }
    files.set(file.Path, { sizeBytes: Number(file.Size), checksum: file.Checksum })
  }
  const walRanges = (text['WAL-Ranges'] ?? []).map((range) => ({
    timeline: Number(range.Timeline),
    start: parseLsn(String(range['Start-LSN'])),
    end: parseLsn(String(range['End-LSN'])),
  }))
  return { files, walRanges }
}

function checkOwnChecksum(bytes: Buffer): void {
  const at = bytes.lastIndexOf('"Manifest-Checksum"')
  const stated = /^"Manifest-Checksum": "([0-9a-f]{64})"\}\s*$/.exec(
    bytes.toString('utf8', Math.max(0, at)),
  )?.[1]
  const actual = createHash('sha256')
    .update(bytes.subarray(0, Math.max(0, at)))
    .digest('hex')
  if (stated !== actual) {
    throw new Fault('corrupt', 'the backup manifest does not match its own checksum')
  }
}

/** Throws unless exactly the files of the manifest were seen, each with its size and checksum. */
export function compareWithManifest(
  manifest: BackupManifest,
  seen: ReadonlyMap<string, ManifestFile>,
): void {
  const wrong: string[] = []
  for (const [path, expected] of manifest.files) {
    const actual = seen.get(path)
    if (!actual) wrong.push(`${path} is missing`)
    else if (actual.sizeBytes !== expected.sizeBytes) {
      wrong.push(`${path} has ${actual.sizeBytes} bytes instead of ${expected.sizeBytes}`)
    } else if (actual.checksum !== expected.checksum) wrong.push(`${path} has another checksum`)
  }
  for (const path of seen.keys()) {
    if (!manifest.files.has(path)) wrong.push(`${path} is not in the backup manifest`)
  }
  throwIfWrong(wrong)
}

const FINDINGS_SHOWN_MAX = 5

/** Throws Fault 'corrupt' with the first findings, when there are any. */
export function throwIfWrong(wrong: readonly string[]): void {
  if (wrong.length === 0) return
  const shown = wrong.slice(0, FINDINGS_SHOWN_MAX).join('; ')
  const more =
    wrong.length > FINDINGS_SHOWN_MAX ? `; and ${wrong.length - FINDINGS_SHOWN_MAX} more` : ''
  throw new Fault('corrupt', `the files do not match the backup manifest: ${shown}${more}`)
}
