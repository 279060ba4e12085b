import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { type Clock, pause, SECOND_MS } from '../base/clock.ts'
import { Fault, systemCode } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { type Answer, type Api, answerCall, answerError } from './api.ts'
import type { Incoming } from './arrival.ts'
import type { AccessKeys, Nonces } from './authentication.ts'
import { ApiError, unreadableRequest } from './errors.ts'
import { createHealthCheck, type Probe } from './health.ts'
import type { Operation } from './operation.ts'
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
  /** What `GET /` shows to somebody who does not call an operation. */
  readonly information: () => object
  readonly log: Logger
  /** Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number }
}

export interface Server extends AsyncDisposable {
  readonly url: string
  readonly port: number
}

const BODY_BYTES_MAX = 1024 * 1024
/** A GET carries all parameters in its first line. */
const HEADER_BYTES_MAX = 64 * 1024
const CONNECTIONS_MAX = 1000
const HEADERS_TIMEOUT_MS = 10 * SECOND_MS
const REQUEST_TIMEOUT_MS = 30 * SECOND_MS
const KEEP_ALIVE_MS = 75 * SECOND_MS
const CLOSE_MS = 10 * SECOND_MS

/**
 * Answers calls over HTTP. Disposing it stops accepting, lets calls that run finish for at most ten
 * seconds and closes what is left. Rejects with a Fault when the address cannot be listened on.
 */
export async function startServer<Needs>(options: ServerOptions<Needs>): Promise<Server> {
  let url = ''
  const { operations, listen } = options
  const byName = new Map(operations.map((each) => [each.description.action.toLowerCase(), each]))
  const api: Api<Needs> = { ...options, operations: byName, url: () => url }
  let closing = false
  const app = createApp(api)
  app.server.maxConnections = CONNECTIONS_MAX
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
  addRoutes(app, api, options.probes)
  const port = await listenOn(app, listen)
  url = `http://${authority(listen.host, port)}`
  return {
    url,
    port,
    [Symbol.asyncDispose]: async () => {
      closing = true
      await close(app)
    },
  }
}

function createApp<Needs>(api: Api<Needs>): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    exposeHeadRoutes: false,
    // Calls that arrive on an open connection while the server stops are still answered.
    return503OnClosing: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS },
    // Queries are read by the API itself, strictly.
    routerOptions: { querystringParser: () => ({}) },
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, api),
    frameworkErrors: (_error, request, reply) => {
      const error = unreadableRequest('path', 'It is not percent-encoded UTF-8.')
      return send(reply, answerError(error, incomingOf(request), api))
    },
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  return app
}

function addRoutes<Needs>(app: FastifyInstance, api: Api<Needs>, probes: readonly Probe[]): void {
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

function incomingOf(request: FastifyRequest): Incoming {
  const { raw, body } = request
  return {
    method: raw.method ?? '',
    target: raw.url ?? '',
    rawHeaders: raw.rawHeaders,
    body: body instanceof Uint8Array ? body : new Uint8Array(),
    address: request.ip,
  }
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

/** Answers what is not HTTP, too large or too slow, on the socket itself. */
function refuseConnection<Needs>(
  error: Error & { code?: string },
  socket: Socket,
  api: Api<Needs>,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const incoming: Incoming = {
    method: '',
    target: '',
    rawHeaders: [],
    body: new Uint8Array(),
    address: socket.remoteAddress ?? '',
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
}

function connectionFailure(code: string | undefined): string {
  if (code === 'HPE_HEADER_OVERFLOW') return `Its headers exceed ${HEADER_BYTES_MAX} bytes.`
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'It did not arrive in time.'
  return 'It is not HTTP.'
}

async function listenOn(
  app: FastifyInstance,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<number> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    const code = systemCode(error)
    if (code === null) throw error
    const kind = code === 'EADDRINUSE' ? 'exists' : code === 'EACCES' ? 'denied' : 'unfit'
    throw new Fault(kind, `cannot listen on ${authority(host, port)} (${code})`, {
      cause: error,
      hint: 'free that address or choose another with HOLDFAST_LISTEN',
    })
  }
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

function authority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

async function close(app: FastifyInstance): Promise<void> {
  const finished = new AbortController()
  const closed = app.close().finally(() => finished.abort())
  const late = pause(CLOSE_MS, finished.signal).then(
    () => app.server.closeAllConnections(),
    () => {
      // The server closed in time, which ended the wait.
    },
  )
  await Promise.all([closed, late])
}
