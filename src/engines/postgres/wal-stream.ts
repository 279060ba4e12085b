import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { machineNow, pause } from '../../base/clock.ts'
import { Fault, fileFault } from '../../base/fault.ts'
import { formatLsn, type Lsn, segmentName, segmentStart } from './lsn.ts'
import type { ReplicationConnection } from './replication-connection.ts'
import { formatLimit, watchSilence } from './silence-watch.ts'

/** Where a stream starts and where its segments go. */
export interface WalPlan {
  readonly slot: string
  readonly timeline: number
  /** Start of a segment. */
  readonly from: Lsn
  readonly segmentBytes: number
  readonly directory: string
  /** False: the server keeps its log until the end, and never takes us for a standby. */
  readonly reportFlushed: boolean
  /** How long the server may send nothing, though it is asked for a sign of life every 10 s. */
  readonly silenceMs: number
  /** Called once when the server is silent for so long; must end the connection. */
  readonly onSilence: (fault: Fault) => void
}

const STATUS_EVERY_MS = 10_000
/** Asked for more often when the server's patience is shorter (in tests). */
const STATUS_PER_SILENCE = 4
const POSTGRES_EPOCH_MS = 946_684_800_000n
const WAL_DATA = 0x77
const KEEP_ALIVE = 0x6b
/** Type byte, start, end and clock, before the WAL itself. */
const WAL_DATA_HEADER_BYTES = 25

/**
 * Receives write-ahead log into segment files of full length, the tail zero (PostgreSQL manual,
 * "Streaming Replication Protocol"). What is reported as flushed is durable here: the slot advances
 * with every finished segment, and when the server asks. A server that answers nothing any more, or
 * sends no log where it owes some, ends the stream.
 */
export class WalStream implements AsyncDisposable {
  readonly #connection: ReplicationConnection
  readonly #plan: WalPlan
  readonly #ended: Promise<never>
  #received: Lsn
  #flushed: Lsn
  #file: { readonly handle: FileHandle; readonly start: Lsn } | null = null
  #awaited: { readonly target: Lsn; readonly resolve: () => void } | null = null
  #pending: Buffer = Buffer.alloc(0)

  constructor(connection: ReplicationConnection, plan: WalPlan) {
    this.#connection = connection
    this.#plan = plan
    this.#received = plan.from
    this.#flushed = plan.from
    this.#ended = this.#receive()
    // Whoever waits for the stream sees its fault; when nobody waits any more, it does not matter.
    this.#ended.catch(() => undefined)
  }

  /** Rejects when the stream fails or is disposed; never resolves. */
  get ended(): Promise<never> {
    return this.#ended
  }

  /**
   * Resolves when every byte before `target` is in its segment file. Receiving goes on. The server
   * has that log already: it only has to be sent, so a while without a byte of it is a Fault.
   */
  async untilReceived(target: Lsn, signal: AbortSignal): Promise<void> {
    const waiting = new AbortController()
    const either = AbortSignal.any([signal, waiting.signal])
    try {
      while (this.#received < target) {
        const before = this.#received
        const arrived = new Promise<void>((resolve) => {
          this.#awaited = { target, resolve }
        })
        await Promise.race([this.#ended, arrived, pause(this.#plan.silenceMs, either)])
        if (this.#received < target && this.#received === before) {
          throw new Fault('transient', `no write-ahead log up to ${formatLsn(target)} came`)
        }
      }
    } catch (error) {
      // What aborted the wait tells more than that it was aborted.
      signal.throwIfAborted()
      throw error
    } finally {
      waiting.abort()
    }
  }

  /** Ends the connection; resolves when no file is in use any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]()
    await this.#ended.catch(() => undefined)
  }

  async #receive(): Promise<never> {
    const { slot, timeline, from, silenceMs, onSilence } = this.#plan
    const everyMs = Math.min(STATUS_EVERY_MS, silenceMs / STATUS_PER_SILENCE)
    const told = `the server has sent no log and no sign of life for ${formatLimit(silenceMs)}`
    using watch = watchSilence(silenceMs, () => onSilence(new Fault('transient', told)))
    let status: NodeJS.Timeout | undefined
    try {
      const start = `START_REPLICATION SLOT ${slot} PHYSICAL ${formatLsn(from)} TIMELINE ${timeline}`
      const events = this.#connection.run(start)
      for (;;) {
        const next = await watch.during(() => events.next())
        if (next.done) break
        const event = next.value
        if (event.kind === 'duplex') status ??= setInterval(() => this.#sendStatus(), everyMs)
        if (event.kind !== 'copy') continue
        this.#pending = event.first ? event.piece : Buffer.concat([this.#pending, event.piece])
        if (event.last) await this.#take(this.#pending)
      }
    } finally {
      clearInterval(status)
      await this.#closeFile()
    }
    throw new Fault('transient', `timeline ${timeline} ended: the server's role has changed`, {
      hint: 'the backup is tried again on the new timeline',
    })
  }

  async #take(message: Buffer): Promise<void> {
    if (message[0] === KEEP_ALIVE) {
      if (message[17] === 1) await this.#answer()
      return
    }
    if (message[0] !== WAL_DATA) return
    const at = message.readBigUInt64BE(1)
    if (at !== this.#received) {
      throw new Fault('transient', `WAL came at ${formatLsn(at as Lsn)}, not where it should go on`)
    }
    try {
      await this.#write(message.subarray(WAL_DATA_HEADER_BYTES))
    } catch (error) {
      throw fileFault(error, `cannot spool write-ahead log to ${this.#plan.directory}`)
    }
    if (this.#awaited && this.#received >= this.#awaited.target) this.#awaited.resolve()
  }

  /** A server that shuts down asks, and waits until all it sent is reported as flushed. */
  async #answer(): Promise<void> {
    await this.#file?.handle.datasync()
    this.#flushed = this.#received
    this.#sendStatus()
  }

  async #write(bytes: Buffer): Promise<void> {
    let left = bytes
    while (left.length > 0) {
      const file = this.#file ?? (await this.#openFile())
      const offset = Number(this.#received - file.start)
      const part = left.subarray(0, this.#plan.segmentBytes - offset)
      await file.handle.write(part, 0, part.length, offset)
      this.#received = (this.#received + BigInt(part.length)) as Lsn
      left = left.subarray(part.length)
      if (offset + part.length === this.#plan.segmentBytes) {
        await file.handle.datasync()
        await this.#closeFile()
        this.#flushed = this.#received
        this.#sendStatus()
      }
    }
  }

  async #openFile(): Promise<{ readonly handle: FileHandle; readonly start: Lsn }> {
    const { directory, timeline, segmentBytes } = this.#plan
    const start = segmentStart(this.#received, segmentBytes)
    const handle = await open(
      join(directory, segmentName(timeline, start, segmentBytes)),
      'w',
      0o600,
    )
    this.#file = { handle, start }
    await handle.truncate(segmentBytes)
    return this.#file
  }

  async #closeFile(): Promise<void> {
    const file = this.#file
    this.#file = null
    await file?.handle.close()
  }

  #sendStatus(): void {
    const body = Buffer.alloc(34)
    body.write('r', 0, 'latin1')
    body.writeBigUInt64BE(this.#received, 1)
    // Without a flush position nobody is taken for a synchronous standby (PostgreSQL source,
    // syncrep.c), and the slot stays where it is.
    body.writeBigUInt64BE(this.#plan.reportFlushed ? this.#flushed : 0n, 9)
    body.writeBigInt64BE((BigInt(machineNow()) - POSTGRES_EPOCH_MS) * 1000n, 25)
    // Asks for an answer: a server without wal_sender_timeout sends no sign of life by itself.
    body[33] = 1
    this.#connection.sendCopyData(body)
  }
}
