import { createHash, createHmac } from 'node:crypto'
import type { RawParameters } from './parameters.ts'
import { canonicalPairs } from './signature-v1.ts'

export const ALGORITHM_V3 = 'ACS3-HMAC-SHA256'

/** The part of a request that version 3 signs. Header names are in lower case. */
interface SignedParts {
  readonly method: string
  readonly query: RawParameters
  readonly headers: ReadonlyMap<string, string>
  /** In the order in which the client lists them. */
  readonly signedHeaders: readonly string[]
  /** Lower-case hexadecimal SHA-256 of the body. */
  readonly contentSha256: string
}

/** What an `Authorization` header of this algorithm says. */
interface AuthorizationV3 {
  readonly accessKeyId: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
}

/**
 * Signature version 3 (page "Request syntax and signature method V3"). A form body is covered by its
 * hash only, not by the canonical query.
 */
export function stringToSignV3(parts: SignedParts): string {
  const headers = parts.signedHeaders.map(
    (name) => `${name}:${(parts.headers.get(name) ?? '').trim()}\n`,
  )
  const canonicalRequest = [
    parts.method,
    '/',
    canonicalPairs(parts.query),
    headers.join(''),
    parts.signedHeaders.join(';'),
    parts.contentSha256,
  ].join('\n')
  return `${ALGORITHM_V3}\n${sha256Hex(canonicalRequest)}`
}

/** Lower-case hexadecimal digits of 32 bytes. */
export function signV3(secret: string, stringToSign: string): string {
  return createHmac('sha256', secret).update(stringToSign, 'utf8').digest('hex')
}

export function sha256Hex(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** The headers that a client has to sign: the host, the content type and all that are the API's. */
export function headersToSign(names: Iterable<string>): readonly string[] {
  return [...names]
    .filter((name) => name === 'host' || name === 'content-type' || name.startsWith('x-acs-'))
    .sort()
}

export function formatAuthorizationV3(authorization: AuthorizationV3): string {
  const { accessKeyId, signedHeaders, signature } = authorization
  const list = signedHeaders.join(';')
  return `${ALGORITHM_V3} Credential=${accessKeyId},SignedHeaders=${list},Signature=${signature}`
}

/** Null when the header has not the form of this algorithm. */
export function parseAuthorizationV3(header: string): AuthorizationV3 | null {
  const match =
    /^ACS3-HMAC-SHA256 +Credential=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})$/.exec(
      header,
    )
  const [, accessKeyId, list, signature] = match ?? []
  if (accessKeyId === undefined || list === undefined || signature === undefined) return null
  return { accessKeyId, signedHeaders: list.split(';'), signature }
}
