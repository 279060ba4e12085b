import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describeError } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Secret } from '../base/secret.ts'

/** What is measured, as text for a scraper. */
export interface MetricsSource {
  readonly contentType: string
  render(): Promise<string>
}

/** An answer to `GET /metrics`. */
export interface MetricsReply {
  readonly status: 200 | 401 | 403 | 500
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a scraper has to prove: that it knows a token, nothing, or nothing that would help. */
export type MetricsAccess = Secret<string> | 'open' | 'closed'

const PLAIN = { 'content-type': 'text/plain; charset=utf-8' }

/**
 * Answers scrapes, given their `Authorization` header. Scrapes that overlap share one rendering, so
 * that asking often costs no more than asking once.
 */
export function createMetricsPage(
  source: MetricsSource,
  access: MetricsAccess,
  log: Logger,
): (authorization: string | undefined) => Promise<MetricsReply> {
  let running: Promise<string> | null = null
  const render = () => {
    running ??= source.render().finally(() => {
      running = null
    })
    return running
  }
  return async (authorization) => {
    if (access === 'closed') {
      const body = 'Set HOLDFAST_METRICS_TOKEN, or HOLDFAST_METRICS_LISTEN, to read metrics.\n'
      return { status: 403, headers: PLAIN, body }
    }
    if (access !== 'open' && !carries(authorization, access)) {
      const headers = { ...PLAIN, 'www-authenticate': 'Bearer realm="holdfast"' }
      return { status: 401, headers, body: 'Metrics need Authorization: Bearer <token>.\n' }
    }
    try {
      return { status: 200, headers: { 'content-type': source.contentType }, body: await render() }
    } catch (error) {
      log.error('metrics failed', { error: describeError(error) })
      return { status: 500, headers: PLAIN, body: 'The log says why there are no metrics.\n' }
    }
  }
}

/** Answers `GET /metrics` and nothing else, for a listener of its own. */
export function metricsOnly(
  page: (authorization: string | undefined) => Promise<MetricsReply>,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async ({ method, url, headers }, response) => {
    const path = url?.split('?', 1)[0]
    if (path !== '/metrics' || method !== 'GET') {
      response.writeHead(path === '/metrics' ? 405 : 404, PLAIN)
      response.end('Here is GET /metrics only.\n')
      return
    }
    const reply = await page(headers.authorization)
    response.writeHead(reply.status, reply.headers)
    response.end(reply.body)
  }
}

/** Compares digests, so that neither length nor content of the token can be timed. */
function carries(authorization: string | undefined, token: Secret<string>): boolean {
  const [, given] = /^bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
  return given !== undefined && timingSafeEqual(digest(given), digest(token.reveal()))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}
