import type { ApiError } from './errors.ts'

export type Format = 'JSON' | 'XML'

/** A body with the content type that the vendor's SDKs look for, to the letter. */
export interface Rendered {
  readonly contentType: string
  readonly body: string
}

/** What an error body says besides the error. */
interface ErrorContext {
  readonly requestId: string
  readonly hostId: string
  readonly recommend: string
}

type Value = string | number | boolean | null | undefined | readonly Value[] | ValueObject
interface ValueObject {
  readonly [name: string]: Value
}

const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  JSON: 'application/json;charset=utf-8',
  // The vendor's SDK reads an XML error only when the header is exactly this.
  XML: 'text/xml;charset=utf-8',
}

/** Null when `Format` names none. */
export function parseFormat(value: string): Format | null {
  const upper = value.toUpperCase()
  return upper === 'JSON' || upper === 'XML' ? upper : null
}

export function renderReply(
  format: Format,
  action: string,
  requestId: string,
  reply: Readonly<Record<string, unknown>>,
): Rendered {
  const body = { RequestId: requestId, ...reply } as ValueObject
  if (format === 'JSON') return json(body)
  return xml(`<?xml version="1.0" encoding="UTF-8" ?>${element(`${action}Response`, body)}`)
}

export function renderError(format: Format, error: ApiError, context: ErrorContext): Rendered {
  const body: ValueObject = {
    RequestId: context.requestId,
    HostId: context.hostId,
    Code: error.code,
    Message: error.message,
    Recommend: context.recommend,
  }
  if (format === 'JSON') return json(body)
  return xml(`<?xml version='1.0' encoding='UTF-8'?>${element('Error', body)}`)
}

function json(body: ValueObject): Rendered {
  return { contentType: CONTENT_TYPES.JSON, body: JSON.stringify(body) }
}

function xml(body: string): Rendered {
  return { contentType: CONTENT_TYPES.XML, body }
}

/** A list repeats the element of its name; what is undefined or null has none. */
function element(name: string, value: Value): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map((item) => element(name, item)).join('')
  if (typeof value !== 'object') return `<${name}>${escapeXml(String(value))}</${name}>`
  const children = Object.entries(value as ValueObject)
  return `<${name}>${children.map(([key, child]) => element(key, child)).join('')}</${name}>`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  // Readers turn a bare carriage return into a line feed.
  '\r': '&#13;',
}

/** Text that every XML 1.0 reader accepts: what XML cannot carry at all becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>"'\r]/g, (character) => ESCAPES[character] ?? character)
}
