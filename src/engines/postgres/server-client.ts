import { Socket } from 'node:net'
import pg from 'pg'
import { Fault } from '../../base/fault.ts'
import { isTlsDeclined, tlsFault, tlsOptions } from '../../base/postgres-tls.ts'
import type { Endpoint } from '../engine.ts'
import { clientFault, placeOf } from './server-fault.ts'

/** An open connection: the `pg` client, and the stream that carries it, encrypted or not. */
export interface ServerClient {
  readonly client: pg.Client
  readonly stream: Socket
  /** Ends it at once, without a goodbye. */
  cut(): void
}

/**
 * Connects as the endpoint says. With `prefer` a server that declines TLS is spoken to in plain text,
 * as libpq does. `configuration` goes to the `pg` client. An abort cuts the connection, also later.
 */
export async function connectClient(
  endpoint: Endpoint,
  configuration: pg.ClientConfig,
  doing: string,
  signal: AbortSignal,
): Promise<ServerClient> {
  const tls = tlsOptions(endpoint)
  try {
    return await connect(endpoint, configuration, tls, signal).catch((error: unknown) => {
      if (endpoint.tls.mode !== 'prefer' || !isTlsDeclined(error)) throw error
      return connect(endpoint, configuration, null, signal)
    })
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Fault) throw error
    const tlsProblem = tlsFault(error, endpoint, placeOf(endpoint, doing))
    throw tlsProblem ?? clientFault(error, endpoint, doing)
  }
}

async function connect(
  endpoint: Endpoint,
  configuration: pg.ClientConfig,
  tls: ReturnType<typeof tlsOptions>,
  signal: AbortSignal,
): Promise<ServerClient> {
  signal.throwIfAborted()
  const socket = new Socket()
  const client = new pg.Client({
    ...configuration,
    stream: () => socket,
    host: endpoint.host,
    port: endpoint.port,
    user: endpoint.user,
    password: endpoint.password.reveal(),
    ssl: tls ?? false,
  })
  // A lost connection is reported by the statement that runs, or by the next one.
  client.on('error', () => undefined)
  // Not `client.end()`: while it connects the package would then never answer.
  const cut = () => socket.destroy()
  signal.addEventListener('abort', cut, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', cut))
  try {
    await client.connect()
    signal.throwIfAborted()
  } catch (error) {
    socket.destroy()
    throw error
  }
  // With TLS the package has put a stream of its own around the socket.
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  return { client, stream, cut }
}
