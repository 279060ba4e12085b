import { createHmac } from 'node:crypto'
import type { RawParameters } from './parameters.ts'
import { percentEncode } from './percent-encoding.ts'

/**
 * Signature version 1.0 (page "Request syntax and signature method V2 for RPC APIs"): HMAC-SHA1 over
 * all parameters but `Signature`, wherever they travel. Empty values and an empty name are signed as
 * well: the command line client sends `SignatureType=`.
 */
export function stringToSignV1(method: string, parameters: RawParameters): string {
  const canonical = canonicalPairs([...parameters].filter(([name]) => name !== 'Signature'))
  return `${method}&${percentEncode('/')}&${percentEncode(canonical)}`
}

/** Base64 of 20 bytes. The key is the secret with `&` behind it. */
export function signV1(secret: string, stringToSign: string): string {
  return createHmac('sha1', `${secret}&`).update(stringToSign, 'utf8').digest('base64')
}

/** `name=value` pairs, encoded, joined by `&`, in the byte order of the decoded names. */
export function canonicalPairs(pairs: Iterable<readonly [string, string]>): string {
  return [...pairs]
    .map(([name, value]) => ({ order: Buffer.from(name, 'utf8'), name, value }))
    .sort((left, right) => Buffer.compare(left.order, right.order))
    .map(({ name, value }) => `${percentEncode(name)}=${percentEncode(value)}`)
    .join('&')
}
