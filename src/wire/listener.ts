import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { authority, type ListenAddress } from '../base/address.ts'
import { MINUTE_MS, pause, SECOND_MS } from '../base/clock.ts'
import { Fault, systemCode } from '../base/fault.ts'
import type { TlsPair } from './tls-files.ts'

/** What one client, or all of them together, may take of the server. */
export interface Limits {
  /** A GET carries all parameters in its first line. */
  readonly headerBytesMax: number
  readonly connectionsMax: number
  /** From the connection, or the end of the answer before it, to the end of the headers. */
  readonly headersTimeoutMs: number
  /** The same to the end of the body. */
  readonly requestTimeoutMs: number
  readonly handshakeTimeoutMs: number
  /** A connection between two requests. */
  readonly keepAliveMs: number
  /** A connection on which nothing moves, such as one whose client does not read the answer. */
  readonly idleTimeoutMs: number
  /** How often connections are looked at for the first two times. */
  readonly checkMs: number
}

export const LIMITS: Limits = {
  headerBytesMax: 64 * 1024,
  connectionsMax: 1000,
  headersTimeoutMs: 10 * SECOND_MS,
  requestTimeoutMs: 30 * SECOND_MS,
  handshakeTimeoutMs: 10 * SECOND_MS,
  keepAliveMs: 75 * SECOND_MS,
  idleTimeoutMs: 2 * MINUTE_MS,
  checkMs: 2 * SECOND_MS,
}

/** What is not HTTP, too large or too slow; may answer on the socket. */
export type RefuseConnection = (error: Error & { code?: string }, socket: Socket) => void

/** Makes bounded servers, all with the same certificate. */
export interface Listener {
  readonly scheme: 'http' | 'https'
  create(onRequest: RequestListener): Server
  /** From now on new connections see this certificate. */
  readonly useCertificate: (pair: TlsPair) => void
  /** Closes all its servers, `but` one that somebody else closes; resolves when all are. */
  close(but: Server): Promise<void>
  /** Ends the connections of all its servers, whatever runs on them. */
  closeAllConnections(): void
}

/** `pair` null: plain HTTP. */
export function createListener(
  pair: TlsPair | null,
  limits: Limits,
  refuse: RefuseConnection,
): Listener {
  const servers: Server[] = []
  const secured: TlsServer[] = []
  let current = pair
  const options = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: limits.checkMs,
  }
  const create = (onRequest: RequestListener): Server => {
    if (current === null) return createServer(options, onRequest)
    const server = createTlsServer(
      {
        ...options,
        ...contextOf(current),
        minVersion: 'TLSv1.2',
        handshakeTimeout: limits.handshakeTimeoutMs,
      },
      onRequest,
    )
    secured.push(server)
    return server
  }
  return {
    scheme: pair === null ? 'http' : 'https',
    create: (onRequest) => {
      const server = bound(create(onRequest), limits, refuse)
      servers.push(server)
      return server
    },
    close: async (but) => {
      const listening = servers.filter((server) => server.listening)
      const closed = listening.map((server) => once(server, 'close'))
      for (const server of listening) if (server !== but) server.close()
      await Promise.all(closed)
    },
    closeAllConnections: () => {
      for (const server of servers) server.closeAllConnections()
    },
    useCertificate: (next) => {
      current = next
      for (const server of secured) server.setSecureContext(contextOf(next))
    },
  }
}

/** Listens, and gives the port; a Fault says why it cannot. `setting` names what to change. */
export async function listenOn(
  listening: Promise<unknown>,
  server: Server,
  { host, port }: ListenAddress,
  setting: string,
): Promise<number> {
  try {
    await listening
  } catch (error) {
    const code = systemCode(error)
    if (code === null) throw error
    const kind = code === 'EADDRINUSE' ? 'exists' : code === 'EACCES' ? 'denied' : 'unfit'
    throw new Fault(kind, `cannot listen on ${authority(host, port)} (${code})`, {
      cause: error,
      hint: `free that address or choose another with ${setting}`,
    })
  }
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

/** Lets requests that run finish for `withinMs`, then closes what is left. */
export async function closeWithin(
  listener: Pick<Listener, 'closeAllConnections'>,
  closing: Promise<unknown>,
  withinMs: number,
): Promise<void> {
  const finished = new AbortController()
  const closed = closing.finally(() => finished.abort())
  const late = pause(withinMs, finished.signal).then(
    () => listener.closeAllConnections(),
    () => {
      // The server closed in time, which ended the wait.
    },
  )
  await Promise.all([closed, late])
}

function contextOf({ certificate, key }: TlsPair): { cert: string; key: string } {
  return { cert: certificate, key: key.reveal() }
}

function bound(server: Server, limits: Limits, refuse: RefuseConnection): Server {
  server.maxConnections = limits.connectionsMax
  // A client that is turned away tries again: then there is room, unless all others are at work.
  server.on('drop', () => server.closeIdleConnections())
  server.setTimeout(limits.idleTimeoutMs)
  server.on('clientError', refuse)
  return server
}
