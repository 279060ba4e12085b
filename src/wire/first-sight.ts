import type { Incoming } from './arrival.ts'
import { type Format, parseFormat } from './rendering.ts'

/**
 * The format of a reply, as far as it can be seen in a request that may turn out to be unreadable.
 * Without a `Format`, version 1 of the signature defaults to XML (page "Request structure"),
 * everything else to JSON unless XML is what it asks for first.
 */
export function visibleFormat(incoming: Incoming): Format {
  const { target, body } = incoming
  const form = Buffer.from(body).toString('latin1')
  const pairs = `${target.slice(target.indexOf('?') + 1)}&${form}`.split('&')
  const asked = pairs.find((pair) => pair.startsWith('Format='))?.slice('Format='.length)
  const format = parseFormat(asked ?? '')
  if (format !== null) return format
  const signedV1 = pairs.some((pair) => /^Signature(Method)?=/.test(pair))
  const signedV3 = header(incoming, 'authorization').startsWith('ACS3-')
  if (signedV1 && !signedV3) return 'XML'
  return /^\s*(application|text)\/xml\b/i.test(header(incoming, 'accept')) ? 'XML' : 'JSON'
}

/** The host that the client called; null when it is none that can be put into a link. */
export function visibleHost(incoming: Incoming): string | null {
  const host = header(incoming, 'host')
  return /^[A-Za-z0-9._-]{1,255}(:\d{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?$/.test(host)
    ? host
    : null
}

function header({ rawHeaders }: Incoming, name: string): string {
  const index = rawHeaders.findIndex((text, at) => at % 2 === 0 && text.toLowerCase() === name)
  return index < 0 ? '' : (rawHeaders[index + 1] ?? '')
}
