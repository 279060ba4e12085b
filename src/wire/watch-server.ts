import type { IncomingMessage, ServerResponse } from 'node:http'
import { authority, type ListenAddress } from '../base/address.ts'
import { SECOND_MS } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Secret } from '../base/secret.ts'
import { createHealthCheck, type Probe } from './health.ts'
import { closeWithin, createListener, LIMITS, listenOn } from './listener.ts'
import { createMetricsPage, type MetricsSource, metricsOnly } from './metrics.ts'
import { describeCertificate, readTlsPair, type TlsFiles, watchTlsFiles } from './tls-files.ts'

interface WatchOptions {
  readonly probes: readonly Probe[]
  readonly metrics: MetricsSource
  /** Null: open to all who reach the listener. */
  readonly token: Secret<string> | null
  readonly listen: ListenAddress
  /** Null: plain HTTP. Read again when the files change. */
  readonly tls: TlsFiles | null
  readonly log: Logger
}

export interface WatchServer extends AsyncDisposable {
  /** Where its metrics are; `/healthz` is beside them. */
  readonly metricsUrl: string
}

const CLOSE_MS = 2 * SECOND_MS
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }

/**
 * Answers `GET /metrics` and `GET /healthz` and nothing else: for a process without the API. Rejects
 * with a Fault when the address cannot be listened on, or the TLS files do not make a server.
 */
export async function startWatchServer(options: WatchOptions): Promise<WatchServer> {
  const { tls, listen, log } = options
  await using stack = new AsyncDisposableStack()
  const pair = tls === null ? null : await readTlsPair(tls)
  const listener = createListener(pair, LIMITS, (_error, socket) => socket.destroy())
  if (tls !== null && pair !== null) {
    log.info('certificate in use', describeCertificate(pair))
    const stopping = new AbortController()
    const watching = watchTlsFiles(tls, pair, listener.useCertificate, log, stopping.signal)
    stack.defer(async () => {
      stopping.abort()
      await watching
    })
  }
  const server = listener.create(answerer(options))
  const listening = Promise.withResolvers<void>()
  server.once('error', listening.reject)
  server.listen({ ...listen }, listening.resolve)
  const port = await listenOn(listening.promise, server, listen, 'HOLDFAST_METRICS_LISTEN')
  stack.defer(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    await closeWithin(listener, closed, CLOSE_MS)
  })
  const resources = stack.move()
  return {
    metricsUrl: `${listener.scheme}://${authority(listen.host, port)}/metrics`,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

function answerer({ probes, metrics, token, log }: WatchOptions) {
  const health = createHealthCheck(probes, log)
  const others = metricsOnly(createMetricsPage(metrics, token ?? 'open', log))
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url?.split('?', 1)[0]
    if (path !== '/healthz' || request.method !== 'GET') return others(request, response)
    const seen = await health()
    response.writeHead(seen.status === 'ok' ? 200 : 503, JSON_TYPE)
    response.end(JSON.stringify(seen))
  }
}
