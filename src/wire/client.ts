import { isoSeconds, machineNow } from '../base/clock.ts'
import { describeError, Fault, systemCode } from '../base/fault.ts'
import { newRequestId } from '../base/ids.ts'
import type { Secret } from '../base/secret.ts'
import { API_VERSION } from './authentication.ts'
import type { RawParameters } from './parameters.ts'
import type { Format } from './rendering.ts'
import { canonicalPairs, signV1, stringToSignV1 } from './signature-v1.ts'
import {
  formatAuthorizationV3,
  headersToSign,
  sha256Hex,
  signV3,
  stringToSignV3,
} from './signature-v3.ts'

export interface Call {
  /** `http://host[:port]`, or `https://`. */
  readonly endpoint: string
  readonly accessKeyId: string
  readonly accessKeySecret: Secret<string>
  readonly action: string
  readonly parameters: Readonly<Record<string, string>>
  readonly format: Format
  /** V3 when left out. */
  readonly signature?: 'V1' | 'V3'
  /** POST, parameters in a form body, when left out; GET puts them in the query. */
  readonly method?: 'GET' | 'POST'
  readonly signal: AbortSignal
}

/** A request as it goes over the wire. It carries a signature, never the secret. */
export interface SignedRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface CallReply {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** The body when it is JSON, else null. */
  readonly parsed: unknown
  readonly request: SignedRequest
}

const FORM = 'application/x-www-form-urlencoded'

/** Calls an operation once, whatever the answer; an unreachable service is a transient Fault. */
export async function callApi(call: Call): Promise<CallReply> {
  const request = signRequest(call)
  const { method, url, headers, body } = request
  try {
    const reply = await fetch(url, {
      method,
      headers,
      ...(method === 'POST' ? { body } : {}),
      // A redirect would send the signature elsewhere.
      redirect: 'manual',
      signal: call.signal,
    })
    const text = await reply.text()
    const parsed = parseJson(reply.headers.get('content-type') ?? '', text)
    return { status: reply.status, headers: new Map(reply.headers), body: text, parsed, request }
  } catch (error) {
    call.signal.throwIfAborted()
    throw noAnswer(call.endpoint, error)
  }
}

/** OpenSSL's reasons for which a certificate is not believed, and Node's for a wrong name. */
const UNTRUSTED = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_)/

function noAnswer(endpoint: string, error: unknown): Fault {
  const code = systemCode(error instanceof Error ? error.cause : null) ?? ''
  const message = `no answer from ${endpoint}: ${describeError(error)}`
  if (UNTRUSTED.test(code)) {
    const hint = 'HOLDFAST_CA_CERT names the authority to trust, HOLDFAST_ENDPOINT the host to call'
    return new Fault('denied', message, { cause: error, hint })
  }
  const hint = 'check that the service runs and listens there'
  return new Fault('transient', message, { cause: error, hint })
}

/** Signs for this moment, with a fresh nonce. */
export function signRequest(call: Call): SignedRequest {
  const { method = 'POST', signature = 'V3' } = call
  const endpoint = parseEndpoint(call.endpoint)
  return signature === 'V1' ? requestV1(call, method, endpoint) : requestV3(call, method, endpoint)
}

/** The request as a person reads it. Values of parameters that hold a password are left out. */
export function describeRequest({ method, url, headers, body }: SignedRequest): string {
  const { pathname, search, host } = new URL(url)
  const lines = [
    `${method} ${pathname}${hidePasswords(search)}`,
    `host: ${host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  return body === '' ? lines.join('\n') : [...lines, '', hidePasswords(body)].join('\n')
}

function requestV1(call: Call, method: 'GET' | 'POST', endpoint: URL): SignedRequest {
  const parameters = new Map([
    ...Object.entries(call.parameters),
    ['Action', call.action],
    ['Version', API_VERSION],
    ['Format', call.format],
    ['AccessKeyId', call.accessKeyId],
    ['SignatureMethod', 'HMAC-SHA1'],
    ['SignatureVersion', '1.0'],
    ['SignatureNonce', newRequestId()],
    ['Timestamp', isoSeconds(machineNow())],
  ] as [string, string][])
  const stringToSign = stringToSignV1(method, parameters)
  parameters.set('Signature', signV1(call.accessKeySecret.reveal(), stringToSign))
  return compose(method, endpoint, parameters, {})
}

function requestV3(call: Call, method: 'GET' | 'POST', endpoint: URL): SignedRequest {
  const parameters = new Map([...Object.entries(call.parameters), ['Format', call.format]] as [
    string,
    string,
  ][])
  const unsigned = compose(method, endpoint, parameters, {
    'x-acs-action': call.action,
    'x-acs-version': API_VERSION,
    'x-acs-date': isoSeconds(machineNow()),
    'x-acs-signature-nonce': newRequestId(),
  })
  const contentSha256 = sha256Hex(unsigned.body)
  const headers = { ...unsigned.headers, 'x-acs-content-sha256': contentSha256 }
  const received = new Map([...Object.entries(headers), ['host', endpoint.host]] as const)
  const signedHeaders = headersToSign(received.keys())
  const query: RawParameters = method === 'GET' ? parameters : new Map()
  const stringToSign = stringToSignV3({
    method,
    query,
    headers: received,
    signedHeaders,
    contentSha256,
  })
  const signature = signV3(call.accessKeySecret.reveal(), stringToSign)
  const { accessKeyId } = call
  const authorization = formatAuthorizationV3({ accessKeyId, signedHeaders, signature })
  return { ...unsigned, headers: { ...headers, authorization } }
}

function compose(
  method: 'GET' | 'POST',
  endpoint: URL,
  parameters: RawParameters,
  headers: Readonly<Record<string, string>>,
): SignedRequest {
  const pairs = canonicalPairs(parameters)
  if (method === 'GET') return { method, url: `${endpoint.origin}/?${pairs}`, headers, body: '' }
  const contentType = { 'content-type': FORM }
  return {
    method,
    url: `${endpoint.origin}/`,
    headers: { ...headers, ...contentType },
    body: pairs,
  }
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null
  if (url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/') return url
  throw new Fault('unfit', `${endpoint} is no endpoint`, {
    hint: 'an endpoint has the form http://host:port or https://host:port',
  })
}

function parseJson(contentType: string, body: string): unknown {
  if (!contentType.startsWith('application/json')) return null
  try {
    return JSON.parse(body)
  } catch {
    // A body cut short on the way: the caller still has its text.
    return null
  }
}

function hidePasswords(pairs: string): string {
  return pairs.replace(/([A-Za-z]*(?:Password|Secret)[A-Za-z]*)=[^&]*/g, '$1=…')
}
