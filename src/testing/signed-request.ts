import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { XMLParser } from 'fast-xml-parser'
import { isoSeconds, machineNow } from '../base/clock.ts'
import { randomName } from '../base/ids.ts'
import type { Call, SignedRequest } from '../wire/client.ts'
import { canonicalPairs, signV1, stringToSignV1 } from '../wire/signature-v1.ts'
import { TEST_KEY } from './wire-service.ts'

/** A call with the key of the test service. */
export function testCall(
  endpoint: string,
  action: string,
  parameters: Record<string, string>,
  rest: Partial<Call> = {},
): Call {
  return {
    endpoint,
    accessKeyId: TEST_KEY.id,
    accessKeySecret: TEST_KEY.secret,
    action,
    parameters,
    format: 'JSON',
    signal: AbortSignal.timeout(10_000),
    ...rest,
  }
}

export interface Answer {
  readonly status: number
  readonly type: string
  readonly code: string
  readonly message: string
  readonly body: string
}

/** Sends a request as it is, and reads JSON and XML alike. */
export async function send(request: SignedRequest): Promise<Answer> {
  const { method, url, headers, body } = request
  const reply = await fetch(url, { method, headers, ...(method === 'POST' ? { body } : {}) })
  const type = reply.headers.get('content-type') ?? ''
  const text = await reply.text()
  const parsed = type.startsWith('text/xml') ? readXml(text) : JSON.parse(text)
  assert.equal(reply.headers.get('x-acs-request-id'), parsed.RequestId)
  return {
    status: reply.status,
    type,
    code: parsed.Code ?? '',
    message: parsed.Message ?? '',
    body: text,
  }
}

/** A request of version 1 with its common parameters changed; undefined leaves one out. */
export function signedV1(
  endpoint: string,
  changes: Record<string, string | undefined>,
  shape: { inBody?: readonly string[]; secret?: string } = {},
): SignedRequest {
  const common: Record<string, string | undefined> = {
    Action: 'DescribeRegions',
    Version: '2014-08-15',
    AccessKeyId: TEST_KEY.id,
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: randomName(32),
    Timestamp: isoSeconds(machineNow()),
    Format: 'JSON',
    ...changes,
  }
  const given = Object.entries(common).filter((pair): pair is [string, string] => {
    return pair[1] !== undefined
  })
  const parameters = new Map(given)
  const method = shape.inBody === undefined ? 'GET' : 'POST'
  const secret = shape.secret ?? TEST_KEY.secret.reveal()
  if (!parameters.has('Signature')) {
    parameters.set('Signature', signV1(secret, stringToSignV1(method, parameters)))
  }
  const inBody = new Set(shape.inBody ?? [])
  const query = canonicalPairs([...parameters].filter(([name]) => !inBody.has(name)))
  return {
    method,
    url: `${endpoint}/?${query}`,
    headers: method === 'POST' ? { 'content-type': 'application/x-www-form-urlencoded' } : {},
    body: canonicalPairs([...parameters].filter(([name]) => inBody.has(name))),
  }
}

/** Sends bytes as they are and reads until the server closes. */
export async function sendRaw(endpoint: string, text: string): Promise<string> {
  const { hostname, port } = new URL(endpoint)
  const socket = connect(Number(port), hostname)
  socket.setEncoding('utf8')
  socket.write(text, 'latin1')
  let received = ''
  for await (const piece of socket) received += piece
  return received
}

function readXml(text: string): Record<string, string> {
  const roots = new XMLParser({ parseTagValue: false, ignoreDeclaration: true }).parse(text)
  return Object.values<Record<string, string>>(roots)[0] ?? {}
}
