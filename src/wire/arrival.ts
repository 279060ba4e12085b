import type { Arrival } from './authentication.ts'
import { apiError, unreadableRequest } from './errors.ts'
import { readRequestParameters } from './request-parameters.ts'

/** One HTTP request to the API, its body read. */
export interface Incoming {
  readonly method: string
  /** The request target as it was sent, each byte a character. */
  readonly target: string
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[]
  readonly body: Uint8Array
  /** The client's, as far as it is to be believed. */
  readonly address: string
  /** How the client called, before any proxy. */
  readonly scheme: 'http' | 'https'
}

/** Throws an `ApiError` for anything that two readers could understand differently. */
export function readArrival(incoming: Incoming): Arrival {
  const { method, target, body } = incoming
  if (method !== 'GET' && method !== 'POST') throw apiError('UnsupportedHTTPMethod')
  const headers = readHeaders(incoming.rawHeaders)
  if (method === 'GET' && carriesBody(headers)) {
    throw unreadableRequest('body', 'A GET request has none.')
  }
  const mark = target.indexOf('?')
  const query = mark < 0 ? '' : target.slice(mark + 1)
  return { method, headers, body, ...readRequestParameters(query, formOf(headers, body)) }
}

/** Names in lower case. A header that means something here occurs once; of others the first counts. */
function readHeaders(rawHeaders: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    const value = rawHeaders[index + 1] ?? ''
    if (!headers.has(name)) headers.set(name, value)
    else if (occursOnce(name)) throw unreadableRequest(name, 'The header is given more than once.')
  }
  return headers
}

function occursOnce(name: string): boolean {
  return /^(host|authorization|content-type|x-acs-.*)$/.test(name)
}

function carriesBody(headers: ReadonlyMap<string, string>): boolean {
  return headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0
}

function formOf(headers: ReadonlyMap<string, string>, body: Uint8Array): string {
  if (body.length === 0) return ''
  const contentType = headers.get('content-type') ?? ''
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType)) {
    throw unreadableRequest('Content-Type', 'It has to be application/x-www-form-urlencoded.')
  }
  return Buffer.from(body).toString('latin1')
}
