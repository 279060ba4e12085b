import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { Instant } from '../../base/clock.ts'
import { Fault, invariant, isFault } from '../../base/fault.ts'
import type { TreeEntry } from '../../base/file-tree.ts'
import { randomName } from '../../base/ids.ts'
import type { BackupOptions, BackupStream, SetDescription, Source } from '../engine.ts'
import { type BackupStart, BaseBackup } from './base-backup.ts'
import { type ChosenSource, chooseSource, primaryOf, replayedLsn } from './choose-source.ts'
import { formatLsn, historyName, type Lsn, laterLsn, segmentNames, segmentStart } from './lsn.ts'
import { ReplicationConnection } from './replication-connection.ts'
import { databaseNow, readServerFacts, type ServerFacts } from './server-facts.ts'
import { withSession } from './sql-session.ts'
import { mayCountAsStandby, readStreamLimits, type StreamLimits } from './stream-limits.ts'
import { WalStream } from './wal-stream.ts'

const ASK_TIMEOUT_MS = 10_000
const FILE_MODE = 0o600
const WAL_APPLICATION = 'holdfast-wal'
/** object_not_in_prerequisite_state: also when full_page_writes was off lately on the primary. */
const UNFIT_NOW = /\(SQLSTATE 55000\)/

/**
 * Opens a backup: chooses the server, opens a temporary slot on a connection of its own (so that no
 * write-ahead log is lost between the two), begins BASE_BACKUP, then streams the log beside it.
 * A standby that the server itself declares unfit is passed over for the primary. `limits` is how
 * long the server may be silent; null: as its settings suggest.
 */
export async function openPostgresBackup(
  source: Source,
  options: BackupOptions,
  signal: AbortSignal,
  limits: StreamLimits | null = null,
): Promise<BackupStream> {
  const chosen = await chooseSource(source, options.checkpoint, signal)
  try {
    return await openFrom(chosen, options, signal, limits)
  } catch (error) {
    if (chosen.endpoint.role === 'primary' || !isFault(error) || !UNFIT_NOW.test(error.message)) {
      throw error
    }
    const finding = `standby ${chosen.endpoint.node}: ${error.message}`
    const primary = { ...chosen, endpoint: primaryOf(source) }
    return await openFrom(
      { ...primary, findings: [...chosen.findings, finding] },
      options,
      signal,
      limits,
    )
  }
}

async function openFrom(
  chosen: ChosenSource,
  options: BackupOptions,
  signal: AbortSignal,
  givenLimits: StreamLimits | null,
): Promise<BackupStream> {
  const asked = await withSession(chosen.endpoint, ASK_TIMEOUT_MS, signal, async (session) => ({
    facts: await readServerFacts(session),
    limits: givenLimits ?? (await readStreamLimits(session)),
    mayCount: await mayCountAsStandby(session, WAL_APPLICATION),
  }))
  const { facts, limits } = asked
  const cut = new AbortController()
  const onSilence = (fault: Fault) => cut.abort(fault)
  const either = AbortSignal.any([signal, cut.signal])
  await using opened = new AsyncDisposableStack()
  const walConnection = opened.use(
    await ReplicationConnection.open(chosen.endpoint, WAL_APPLICATION, either),
  )
  const slot = `holdfast_${randomName(12)}`
  await walConnection.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY PHYSICAL RESERVE_WAL`)
  const systemIdentifier = await checkIdentity(walConnection, chosen)
  const segmentBytes = await readSegmentBytes(walConnection)
  const baseConnection = opened.use(
    await ReplicationConnection.open(chosen.endpoint, 'holdfast-backup', either),
  )
  const base = new BaseBackup(baseConnection, { ...options, limits, onSilence })
  const start = await base.start()
  const wal = opened.use(
    new WalStream(walConnection, {
      slot,
      timeline: start.timeline,
      from: segmentStart(start.lsn, segmentBytes),
      segmentBytes,
      directory: options.scratchDirectory,
      reportFlushed: !asked.mayCount,
      silenceMs: limits.silenceMs,
      onSilence,
    }),
  )
  // Without its log the backup is worth nothing: it ends with the log's fault, not hours later.
  wal.ended.catch((error: unknown) => cut.abort(error))
  return new PostgresBackupStream(
    { chosen, facts, systemIdentifier, segmentBytes, start, options, signal: either },
    { base, baseConnection, wal },
    opened.move(),
  )
}

interface BackupFacts {
  readonly chosen: ChosenSource
  readonly facts: ServerFacts
  readonly systemIdentifier: string
  readonly segmentBytes: number
  readonly start: BackupStart
  readonly options: BackupOptions
  readonly signal: AbortSignal
}

interface BackupParts {
  readonly base: BaseBackup
  readonly baseConnection: ReplicationConnection
  readonly wal: WalStream
}

class PostgresBackupStream implements BackupStream {
  readonly entries: AsyncIterable<TreeEntry>
  readonly estimatedBytes: number | null
  readonly findings: readonly string[]
  readonly #known: BackupFacts
  readonly #parts: BackupParts
  readonly #opened: AsyncDisposableStack
  #consistentAt: Instant | null = null

  constructor(known: BackupFacts, parts: BackupParts, opened: AsyncDisposableStack) {
    this.#known = known
    this.#parts = parts
    this.#opened = opened
    this.estimatedBytes = known.start.estimatedBytes > 0 ? known.start.estimatedBytes : null
    this.findings = known.chosen.findings
    this.entries = this.#read()
  }

  async finish(signal: AbortSignal): Promise<SetDescription> {
    signal.throwIfAborted()
    const { chosen, facts, start, segmentBytes, systemIdentifier } = this.#known
    invariant(this.#consistentAt !== null, 'a backup is finished after its last entry')
    return {
      consistentAt: this.#consistentAt,
      node: chosen.endpoint.node,
      role: chosen.endpoint.role,
      engineState: {
        engine: 'PostgreSQL',
        serverVersion: facts.version,
        serverVersionNumber: facts.versionNumber,
        systemIdentifier,
        timeline: start.timeline,
        startLsn: formatLsn(start.lsn),
        endLsn: formatLsn(this.#parts.base.endLsn),
        walSegmentBytes: segmentBytes,
        tablespaces: start.tablespaces,
        settings: facts.settings,
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }

  async *#read(): AsyncGenerator<TreeEntry> {
    const { base, baseConnection, wal } = this.#parts
    yield* base.entries()
    const { timeline, lsn } = this.#known.start
    if (timeline > 1) yield await readHistory(baseConnection, timeline)
    const target = await this.#target()
    await wal.untilReceived(target, this.#known.signal)
    // The rest is on this host: the server is rid of us however long its reading takes.
    await this.#opened.disposeAsync()
    for (const name of segmentNames(timeline, lsn, target, this.#known.segmentBytes)) {
      const content = createReadStream(join(this.#known.options.scratchDirectory, name))
      yield { kind: 'file', path: `pg_wal/${name}`, mode: FILE_MODE, content }
    }
  }

  /**
   * How far the log must reach: the end of the backup, and what the primary had flushed when it was
   * asked for. A standby's backup ends where its control file says; its files may already hold
   * what it had replayed by now, so the log goes so far as well.
   */
  async #target(): Promise<Lsn> {
    const { chosen, signal } = this.#known
    const end = this.#parts.base.endLsn
    return withSession(chosen.endpoint, ASK_TIMEOUT_MS, signal, async (session) => {
      this.#consistentAt = await databaseNow(session)
      if (chosen.endpoint.role === 'primary') return end
      const replayed = await replayedLsn(session)
      if (replayed === null) {
        throw new Fault('transient', `${chosen.endpoint.node} was promoted during the backup`)
      }
      return laterLsn(laterLsn(end, replayed), chosen.primary.flushed)
    })
  }
}

/** The identifier of the cluster as text: it does not fit a number. */
async function checkIdentity(
  connection: ReplicationConnection,
  chosen: ChosenSource,
): Promise<string> {
  const [identity] = await connection.query('IDENTIFY_SYSTEM')
  const systemIdentifier = identity?.[0] ?? ''
  if (systemIdentifier !== chosen.primary.systemIdentifier) {
    throw new Fault('unfit', `${chosen.endpoint.node} belongs to another cluster`)
  }
  return systemIdentifier
}

/** `SHOW wal_segment_size` answers with a unit: `16MB`, `1GB`. */
async function readSegmentBytes(connection: ReplicationConnection): Promise<number> {
  const [row] = await connection.query('SHOW wal_segment_size')
  const match = /^(\d+)(MB|GB)$/.exec(row?.[0] ?? '')
  if (!match) throw new Fault('unfit', `the server's wal_segment_size is "${row?.[0]}"`)
  return Number(match[1]) * (match[2] === 'GB' ? 1024 ** 3 : 1024 ** 2)
}

async function readHistory(
  connection: ReplicationConnection,
  timeline: number,
): Promise<TreeEntry> {
  const [row] = await connection.query(`TIMELINE_HISTORY ${timeline}`)
  const text = row?.[1] ?? ''
  return {
    kind: 'file',
    path: `pg_wal/${historyName(timeline)}`,
    mode: FILE_MODE,
    content: single(Buffer.from(text)),
  }
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
