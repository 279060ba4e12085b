import { Fault, invariant } from '../../base/fault.ts'
import type { TreeEntry } from '../../base/file-tree.ts'
import { MAX_RATE_KIB } from '../../domain/instance.ts'
import { type Lsn, parseLsn } from './lsn.ts'
import {
  type BackupManifest,
  compareWithManifest,
  MANIFEST_NAME,
  type ManifestFile,
  parseManifest,
} from './manifest.ts'
import type { ReplicationConnection, ReplicationEvent } from './replication-connection.ts'
import { formatLimit, type SilenceWatch, watchSilence } from './silence-watch.ts'
import type { StreamLimits } from './stream-limits.ts'
import { readTar } from './tar-entries.ts'

/** What BASE_BACKUP tells before the first byte of a file. */
export interface BackupStart {
  readonly lsn: Lsn
  readonly timeline: number
  readonly tablespaces: readonly { readonly oid: number; readonly location: string }[]
  readonly estimatedBytes: number
}

/** What is asked of BASE_BACKUP, and of the server's patience and ours. */
export interface BackupPlan {
  readonly label: string
  /** kB of 1024 bytes in a second; null: as fast as it goes. */
  readonly maxRateKib: number | null
  readonly checkpoint: 'fast' | 'spread'
  readonly limits: StreamLimits
  /** Called once when the server sends nothing for too long; must end the connection. */
  readonly onSilence: (fault: Fault) => void
}

const MANIFEST_MAX_BYTES = 1024 * 1024 * 1024
const NEW_ARCHIVE = 'n'
const ARCHIVE_DATA = 'd'
const MANIFEST_START = 'm'
const DIRECTORY_MODE = 0o700

/**
 * The BASE_BACKUP command (PostgreSQL manual, "Streaming Replication Protocol"), read as it streams.
 * Order of use: `start`, `entries` to their end, then `endLsn`. Tablespaces come first and
 * `base.tar` last; the write-ahead log is not among the files.
 */
export class BaseBackup {
  readonly #events: AsyncGenerator<ReplicationEvent>
  readonly #plan: BackupPlan
  #watch: SilenceWatch | null = null
  readonly #seen = new Map<string, ManifestFile>()
  readonly #directories = new Set<string>()
  /** Bytes of CopyData that belong to no archive: a header that ended the archive before it. */
  #held: { readonly type: string; readonly body: Buffer } | null = null
  #inMessage = ''
  #endLsn: Lsn | null = null

  constructor(connection: ReplicationConnection, plan: BackupPlan) {
    const options = [
      `LABEL '${plan.label.replaceAll("'", "''")}'`,
      'PROGRESS true',
      `CHECKPOINT '${plan.checkpoint}'`,
      'WAIT false',
      'WAL false',
      "MANIFEST 'yes'",
      "MANIFEST_CHECKSUMS 'SHA256'",
    ]
    if (plan.maxRateKib !== null) options.push(`MAX_RATE ${checkedRate(plan.maxRateKib)}`)
    this.#plan = plan
    this.#events = connection.run(`BASE_BACKUP (${options.join(', ')})`)
  }

  async start(): Promise<BackupStart> {
    using _ = this.#expectWithin(this.#plan.limits.beginMs)
    const [position] = await this.#resultSet()
    const spaces = await this.#resultSet()
    invariant(position?.[0] && position[1], 'BASE_BACKUP begins with its position')
    return {
      lsn: parseLsn(position[0]),
      timeline: Number(position[1]),
      tablespaces: spaces
        .filter(([oid]) => oid !== null && oid !== undefined)
        .map(([oid, location]) => ({ oid: Number(oid), location: location ?? '' })),
      estimatedBytes:
        spaces.reduce((sum, [, , kibibytes]) => sum + Number(kibibytes ?? 0), 0) * 1024,
    }
  }

  /** All files and folders, then the manifest, which every byte before it has been checked against. */
  async *entries(): AsyncGenerator<TreeEntry> {
    using _ = this.#expectWithin(this.#plan.limits.silenceMs)
    for (;;) {
      const next = this.#held ?? (await this.#nextHeader())
      this.#held = null
      if (next.type === MANIFEST_START) break
      if (next.type !== NEW_ARCHIVE) {
        throw new Fault('transient', `BASE_BACKUP sent a message of type ${next.type}`)
      }
      yield* this.#archive(next.body)
    }
    const bytes = await this.#readManifest()
    const manifest: BackupManifest = parseManifest(bytes)
    compareWithManifest(manifest, this.#seen)
    const [position] = await this.#resultSet()
    invariant(position?.[0], 'BASE_BACKUP ends with its position')
    this.#endLsn = parseLsn(position[0])
    for await (const event of this.#events) {
      invariant(event.kind === 'end', 'nothing follows the end position of BASE_BACKUP')
    }
    yield { kind: 'file', path: MANIFEST_NAME, mode: 0o600, content: once(bytes) }
  }

  /** Where the files are consistent, once every entry has been read. */
  get endLsn(): Lsn {
    invariant(this.#endLsn !== null, 'the entries were read to their end')
    return this.#endLsn
  }

  async *#archive(header: Buffer): AsyncGenerator<TreeEntry> {
    const name = header.toString('utf8', 0, header.indexOf(0))
    const oid = /^(\d+)\.tar/.exec(name)?.[1]
    if (oid !== undefined) {
      yield* this.#directory('pg_tblspc')
      yield* this.#directory(`pg_tblspc/${oid}`)
    }
    const prefix = oid === undefined ? '' : `pg_tblspc/${oid}/`
    for await (const entry of readTar(this.#archiveBytes(), prefix, this.#seen)) {
      // Each tablespace has made its place before base.tar, which has pg_tblspc as well, and in it a
      // link to where the tablespace is on its own host.
      if (entry.kind === 'file' || !this.#directories.has(entry.path)) yield entry
    }
  }

  *#directory(path: string): Generator<TreeEntry> {
    if (this.#directories.has(path)) return
    this.#directories.add(path)
    yield { kind: 'directory', path, mode: DIRECTORY_MODE }
  }

  /** The bytes of the archive that has begun; what ends it is held for the next step. */
  async *#archiveBytes(): AsyncGenerator<Buffer> {
    for (;;) {
      const event = await this.#nextCopy()
      if (event.type === ARCHIVE_DATA) yield event.body
      else if (event.type === NEW_ARCHIVE || event.type === MANIFEST_START) {
        this.#held = event
        return
      } else if (event.type === '') return
    }
  }

  async #nextHeader(): Promise<{ readonly type: string; readonly body: Buffer }> {
    for (;;) {
      const event = await this.#nextCopy()
      if (event.type !== 'p') return event
    }
  }

  async #readManifest(): Promise<Buffer> {
    const parts: Buffer[] = []
    let sizeBytes = 0
    for (;;) {
      const event = await this.#nextCopy()
      if (event.type === '') return Buffer.concat(parts)
      if (event.type !== ARCHIVE_DATA) continue
      sizeBytes += event.body.length
      if (sizeBytes > MANIFEST_MAX_BYTES) {
        throw new Fault('unfit', 'the backup manifest is larger than 1 GiB')
      }
      parts.push(event.body)
    }
  }

  /** The next piece of data, or whole message of another type; type '' when the copy has ended. */
  async #nextCopy(): Promise<{ readonly type: string; readonly body: Buffer }> {
    let parts: Buffer[] = []
    for (;;) {
      const event = await this.#nextEvent()
      if (event.kind === 'end') return { type: '', body: Buffer.alloc(0) }
      if (event.kind !== 'copy') continue
      if (event.first) this.#inMessage = String.fromCharCode(event.piece[0] ?? 0)
      const body = event.first ? event.piece.subarray(1) : event.piece
      if (this.#inMessage === ARCHIVE_DATA) return { type: ARCHIVE_DATA, body }
      parts = [...parts, body]
      if (event.last) return { type: this.#inMessage, body: Buffer.concat(parts) }
    }
  }

  async #resultSet(): Promise<readonly (readonly (string | null)[])[]> {
    const rows: (readonly (string | null)[])[] = []
    for (;;) {
      const event = await this.#nextEvent()
      if (event.kind === 'row') rows.push(event.row)
      else if (event.kind === 'end') return rows
    }
  }

  #expectWithin(limitMs: number): Disposable {
    this.#watch = watchSilence(limitMs, () => {
      const told = `the server has sent nothing for ${formatLimit(limitMs)}`
      this.#plan.onSilence(new Fault('transient', `${told}: the backup is given up`))
    })
    return this.#watch
  }

  async #nextEvent(): Promise<ReplicationEvent> {
    invariant(this.#watch, 'every wait for the server is watched')
    const next = await this.#watch.during(() => this.#events.next())
    if (next.done) throw new Fault('transient', 'BASE_BACKUP ended too early')
    return next.value
  }
}

function checkedRate(rateKib: number): number {
  const { min, max } = MAX_RATE_KIB
  if (Number.isInteger(rateKib) && rateKib >= min && rateKib <= max) return rateKib
  throw new Fault('unfit', `a backup cannot be limited to ${rateKib} kB/s`, {
    hint: `whole numbers from ${min} to ${max} are possible`,
  })
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes
}
