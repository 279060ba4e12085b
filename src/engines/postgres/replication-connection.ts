import type { Socket } from 'node:net'
import { waitAtMost } from '../../base/clock.ts'
import { Fault } from '../../base/fault.ts'
import type { Endpoint } from '../engine.ts'
import { type BackendMessage, MessageReader, readFields, readRow } from './message-reader.ts'
import { connectClient } from './server-client.ts'
import { serverFault } from './server-fault.ts'
import { formatLimit, watchSilence } from './silence-watch.ts'

type Row = readonly (string | null)[]

/** What a replication command yields until the server is ready for the next one. */
export type ReplicationEvent =
  | Extract<BackendMessage, { kind: 'copy' }>
  | { readonly kind: 'row'; readonly row: Row }
  /** A result set or a copy has ended. */
  | { readonly kind: 'end' }
  /** The server awaits CopyData from us as well. */
  | { readonly kind: 'duplex' }

const CONNECT_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 30_000
/** The server finds out within two minutes that this host is gone, and drops the temporary slot. */
const SERVER_KEEP_ALIVE = [
  '-c tcp_keepalives_idle=60',
  '-c tcp_keepalives_interval=10',
  '-c tcp_keepalives_count=6',
].join(' ')
/** A server that answers a short question with nothing for so long is taken for lost. */
const ANSWER_MS = 2 * 60_000
/** How long a goodbye may take to leave this host. */
const GOODBYE_MS = 3000

/**
 * A physical replication connection. The `pg` package authenticates; then its reader is taken off
 * the socket, because it copies every message. Reading is by pull: nothing is read before it is
 * asked for, so the network holds the server back. An abort, or disposing, ends the connection.
 */
export class ReplicationConnection implements AsyncDisposable {
  readonly #socket: Socket
  readonly #chunks: AsyncIterator<Buffer>
  readonly #reader = new MessageReader()
  readonly #signal: AbortSignal
  readonly #onAbort: () => void
  readonly #name: string

  private constructor(socket: Socket, name: string, signal: AbortSignal) {
    this.#socket = socket
    this.#name = name
    this.#signal = signal
    this.#chunks = socket[Symbol.asyncIterator]()
    this.#onAbort = () => socket.destroy()
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  static async open(
    endpoint: Endpoint,
    applicationName: string,
    signal: AbortSignal,
  ): Promise<ReplicationConnection> {
    const { stream: socket } = await connectClient(
      endpoint,
      {
        application_name: applicationName,
        connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
        lock_timeout: LOCK_TIMEOUT_MS,
        options: SERVER_KEEP_ALIVE,
        // The package's types do not know this parameter of the startup message.
        ...{ replication: 'true' },
      },
      'cannot connect for replication',
      signal,
    )
    socket.removeAllListeners('data')
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    return new ReplicationConnection(socket, endpoint.node, signal)
  }

  /**
   * Sends a command; its events must be read to their end before the next command. How long the
   * server may send nothing is up to the reader: a checkpoint takes its time.
   */
  async *run(command: string): AsyncGenerator<ReplicationEvent> {
    this.#send('Q', Buffer.from(`${command}\0`))
    const doing = `${this.#name} refused ${command.split(' ', 1)[0]}`
    for (;;) {
      const chunk = await this.#nextChunk()
      let fault: Fault | null = null
      let ready = false
      for (const message of this.#reader.read(chunk)) {
        if (message.kind === 'copy') yield message
        else if (message.type === 'D') yield { kind: 'row', row: readRow(message.body) }
        else if (message.type === 'C' || message.type === 'c') yield { kind: 'end' }
        else if (message.type === 'W') yield { kind: 'duplex' }
        else if (message.type === 'E') fault = toFault(message.body, doing)
        else if (message.type === 'Z') ready = true
      }
      // The connection is of no use after a complaint: every command here is a step of one backup.
      if (fault) throw fault
      if (ready) return
    }
  }

  /** Runs a command that yields one result set, and that the server answers without delay. */
  async query(command: string): Promise<readonly Row[]> {
    const rows: Row[] = []
    const lost = new Fault('transient', `no answer within ${formatLimit(ANSWER_MS)}`)
    using watch = watchSilence(ANSWER_MS, () => this.#socket.destroy(lost))
    const events = this.run(command)
    for (;;) {
      const next = await watch.during(() => events.next())
      if (next.done) return rows
      if (next.value.kind === 'row') rows.push(next.value.row)
    }
  }

  sendCopyData(body: Buffer): void {
    this.#send('d', body)
  }

  /** Says goodbye, so that the server frees the temporary slot at once, and closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort)
    if (this.#socket.closed) return
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()))
    if (!this.#socket.destroyed) this.#send('X', Buffer.alloc(0))
    this.#socket.destroySoon()
    await waitAtMost(closed, GOODBYE_MS)
    this.#socket.destroy()
    await closed
  }

  #send(type: string, body: Buffer): void {
    const header = Buffer.alloc(5)
    header.write(type, 0, 'latin1')
    header.writeInt32BE(body.length + 4, 1)
    this.#socket.write(Buffer.concat([header, body]))
  }

  async #nextChunk(): Promise<Buffer> {
    try {
      const next = await this.#chunks.next()
      if (!next.done) return next.value
    } catch (error) {
      this.#signal.throwIfAborted()
      throw new Fault('transient', `lost the connection to ${this.#name}`, { cause: error })
    }
    this.#signal.throwIfAborted()
    throw new Fault('transient', `${this.#name} closed the connection`)
  }
}

function toFault(body: Buffer, doing: string): Fault {
  const fields = readFields(body)
  return serverFault(
    {
      message: fields.get('M') ?? 'no message',
      sqlState: fields.get('C') ?? 'XX000',
      hint: fields.get('H') ?? null,
    },
    doing,
  )
}
