import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { authority, type ListenAddress, type Subnet } from '../base/address.ts'
import { type Clock, pause, SECOND_MS } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Secret } from '../base/secret.ts'
import { type Answer, type Api, answerCall, answerError } from './api.ts'
import type { Incoming } from './arrival.ts'
import type { AccessKeys, Nonces } from './authentication.ts'
import { originReader } from './client-address.ts'
import { ApiError, apiError, unreadableRequest } from './errors.ts'
import { createHealthCheck, type Probe } from './health.ts'
import { largeBodyGate } from './large-bodies.ts'
import {
  closeWithin,
  createListener,
  LIMITS,
  type Limits,
  type Listener,
  listenOn,
} from './listener.ts'
import {
  createMetricsPage,
  type MetricsAccess,
  type MetricsReply,
  type MetricsSource,
  metricsOnly,
} from './metrics.ts'
import type { Operation } from './operation.ts'
import { secretParameters } from './secret-parameters.ts'
import { describeCertificate, readTlsPair, type TlsFiles, watchTlsFiles } from './tls-files.ts'
import { troubleshootingPage } from './troubleshooting.ts'

interface ServerOptions<Needs> {
  readonly operations: readonly Operation<Needs>[]
  readonly needs: Needs
  readonly keys: AccessKeys
  readonly nonces: Nonces
  /** Service time, for operations; signatures go by the machine's. */
  readonly clock: Clock
  /** Awaited before the service time of a call is read. */
  readonly beforeRequest: () => Promise<void>
  readonly probes: readonly Probe[]
  /** What `GET /` shows to somebody who does not call an operation, unless `exposed`. */
  readonly information: () => object
  readonly log: Logger
  /** Told of every answer: the operation's name or `unknown`, and the error's code or `OK`. */
  readonly answered: (action: string, code: string) => void
  readonly listen: ListenAddress
  /** Null: plain HTTP. Read again when the files change. */
  readonly tls: TlsFiles | null
  /** Whose word on the address of a client is believed. */
  readonly trustedProxies: readonly Subnet[]
  /**
   * Whether others than this host's processes reach the server. Then who proves nothing learns
   * nothing but the health, and what an error code means, which is the same everywhere.
   */
  readonly exposed: boolean
  /** Null: there is no `/metrics`. */
  readonly metrics: MetricsSource | null
  readonly metricsToken: Secret<string> | null
  /** A listener for metrics alone, open to all who reach it when there is no token. */
  readonly metricsListen: ListenAddress | null
  /** The service's own, when left out. */
  readonly limits?: Partial<Limits>
  /** How often the TLS files are looked at; the service's own, when left out. */
  readonly tlsPollMs?: number
}

export interface Server extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Where metrics are served when they have a listener of their own. */
  readonly metricsUrl: string | null
}

const BODY_BYTES_MAX = 1024 * 1024
const CLOSE_MS = 10 * SECOND_MS
/** For the refusal of a connection to be read, before the connection is closed anyway. */
const LINGER_MS = 2 * SECOND_MS

/**
 * Answers calls over HTTP, or HTTPS. Disposing it stops accepting, lets calls that run finish for at
 * most ten seconds and closes what is left. Rejects with a Fault when an address cannot be listened
 * on, or the TLS files do not make a server.
 */
export async function startServer<Needs>(options: ServerOptions<Needs>): Promise<Server> {
  await using stack = new AsyncDisposableStack()
  let url = ''
  const { operations, listen } = options
  const byName = new Map(operations.map((each) => [each.description.action.toLowerCase(), each]))
  const api: Api<Needs> = {
    ...options,
    information: options.exposed ? null : options.information,
    operations: byName,
    secrets: secretParameters(operations),
    url: () => url,
  }
  const listener = await openListener(options, api, stack)
  let closing = false
  const incomingOf = incomingReader(options.trustedProxies)
  const app = createApp(api, listener, incomingOf)
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
  addRoutes(app, api, options.probes, incomingOf)
  stack.defer(async () => {
    closing = true
    await closeWithin(listener, Promise.all([app.close(), listener.close(app.server)]), CLOSE_MS)
  })
  const metricsUrl = await serveMetrics(app, options, listener)
  const port = await listenOn(app.listen({ ...listen }), app.server, listen, 'HOLDFAST_LISTEN')
  url = `${listener.scheme}://${authority(listen.host, port)}`
  const resources = stack.move()
  return {
    url,
    port,
    metricsUrl,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Watches the TLS files, where there are any, as long as `stack` lives. */
async function openListener<Needs>(
  { tls, log, limits, tlsPollMs }: ServerOptions<Needs>,
  api: Api<Needs>,
  stack: AsyncDisposableStack,
): Promise<Listener> {
  const pair = tls === null ? null : await readTlsPair(tls)
  const refuse = (error: Error & { code?: string }, socket: Socket) =>
    refuseConnection(error, socket, api)
  const listener = createListener(pair, { ...LIMITS, ...limits }, refuse)
  if (tls === null || pair === null) return listener
  log.info('certificate in use', describeCertificate(pair))
  const stopping = new AbortController()
  const use = listener.useCertificate
  const watching = watchTlsFiles(tls, pair, use, log, stopping.signal, tlsPollMs)
  stack.defer(async () => {
    stopping.abort()
    await watching
  })
  return listener
}

/** Where metrics are served: on a listener of their own, whose URL is given, else by the API's. */
async function serveMetrics<Needs>(
  app: FastifyInstance,
  { metrics, metricsToken, metricsListen, exposed, log }: ServerOptions<Needs>,
  listener: Listener,
): Promise<string | null> {
  if (metrics === null) return null
  const withoutToken: MetricsAccess = exposed && metricsListen === null ? 'closed' : 'open'
  const page = createMetricsPage(metrics, metricsToken ?? withoutToken, log)
  if (metricsListen === null) {
    app.get('/metrics', async (request, reply) => {
      const { status, headers, body }: MetricsReply = await page(request.headers.authorization)
      return reply.code(status).headers(headers).send(body)
    })
    return null
  }
  const server = listener.create(metricsOnly(page))
  const listening = Promise.withResolvers<void>()
  server.once('error', listening.reject)
  server.listen({ ...metricsListen }, listening.resolve)
  const port = await listenOn(listening.promise, server, metricsListen, 'HOLDFAST_METRICS_LISTEN')
  return `${listener.scheme}://${authority(metricsListen.host, port)}/metrics`
}

type IncomingReader = (request: FastifyRequest) => Incoming

function incomingReader(trustedProxies: readonly Subnet[]): IncomingReader {
  const originOf = originReader(trustedProxies)
  return ({ raw, body }) => ({
    method: raw.method ?? '',
    target: raw.url ?? '',
    rawHeaders: raw.rawHeaders,
    body: body instanceof Uint8Array ? body : new Uint8Array(),
    ...originOf(raw.socket, raw.rawHeaders),
  })
}

function createApp<Needs>(
  api: Api<Needs>,
  listener: Listener,
  incomingOf: IncomingReader,
): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    exposeHeadRoutes: false,
    // Calls that arrive on an open connection while the server stops are still answered.
    return503OnClosing: false,
    // Called for each address that a host name stands for.
    serverFactory: (onRequest) => listener.create(onRequest),
    // Queries are read by the API itself, strictly.
    routerOptions: { querystringParser: () => ({}) },
    clientErrorHandler: () => {
      // The listener's own handler answers, on every server alike.
    },
    frameworkErrors: (_error, request, reply) => {
      const error = unreadableRequest('path', 'It is not percent-encoded UTF-8.')
      return send(reply, answerError(error, incomingOf(request), api))
    },
  })
  const admits = largeBodyGate()
  app.addHook('onRequest', async ({ raw }, reply) => {
    if (admits(raw, reply.raw)) return
    // What is left of the body is not waited for.
    reply.header('connection', 'close')
    throw apiError('ServiceUnavailable', { detail: 'Too many large requests at once.' })
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  return app
}

function addRoutes<Needs>(
  app: FastifyInstance,
  api: Api<Needs>,
  probes: readonly Probe[],
  incomingOf: IncomingReader,
): void {
  const health = createHealthCheck(probes, api.log)
  app.all('/', async (request, reply) => send(reply, await answerCall(incomingOf(request), api)))
  app.get('/healthz', async (_request, reply) => {
    const seen = await health()
    reply.code(seen.status === 'ok' ? 200 : 503)
    return seen
  })
  app.get('/troubleshoot', (request, reply) => {
    const page = troubleshootingPage(new URL(request.raw.url ?? '/', 'http://host').searchParams)
    return reply.type('text/html; charset=utf-8').send(page)
  })
  app.setNotFoundHandler((request, reply) => {
    const error = new ApiError('InvalidPath.NotFound', 404, 'Calls go to the path /.')
    return send(reply, answerError(error, incomingOf(request), api))
  })
  app.setErrorHandler((error: FastifyError, request, reply) =>
    send(reply, answerError(translate(error), incomingOf(request), api)),
  )
}

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  return reply
    .code(answer.status)
    .header('content-type', answer.contentType)
    .header('x-acs-request-id', answer.requestId)
    .send(answer.body)
}

/** What Fastify refuses while it reads a request is the client's mistake; anything else is ours. */
function translate(error: FastifyError): unknown {
  if (error.statusCode === undefined || error.statusCode >= 500) return error
  if (error.statusCode === 413) {
    return unreadableRequest('body', `It is larger than ${BODY_BYTES_MAX} bytes.`)
  }
  return unreadableRequest('request', error.message)
}

/**
 * Answers what is not HTTP, too large or too slow, on the socket itself. Other failures, of the
 * connection or of TLS, leave nobody to answer.
 */
function refuseConnection<Needs>(
  error: Error & { code?: string },
  socket: Socket,
  api: Api<Needs>,
): void {
  if (!/^(HPE_|ERR_HTTP_)/.test(error.code ?? '') || !socket.writable) {
    socket.destroy()
    return
  }
  const incoming: Incoming = {
    method: '',
    target: '',
    rawHeaders: [],
    body: new Uint8Array(),
    address: socket.remoteAddress ?? '',
    scheme: 'http',
  }
  const refusal = unreadableRequest('request', connectionFailure(error.code))
  const answer = answerError(refusal, incoming, api)
  const head = [
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}`,
    `content-type: ${answer.contentType}`,
    `content-length: ${Buffer.byteLength(answer.body)}`,
    `x-acs-request-id: ${answer.requestId}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${answer.body}`)
  closeSoon(socket)
}

/** A client that never closes its side would keep the connection for good. */
function closeSoon(socket: Socket): void {
  const closed = new AbortController()
  socket.once('close', () => closed.abort())
  pause(LINGER_MS, closed.signal).then(
    () => socket.destroy(),
    () => {
      // The client closed it.
    },
  )
}

function connectionFailure(code: string | undefined): string {
  if (code === 'HPE_HEADER_OVERFLOW') return `Its headers exceed ${LIMITS.headerBytesMax} bytes.`
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'It did not arrive in time.'
  return 'It is not HTTP.'
}
