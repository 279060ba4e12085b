import { timingSafeEqual } from 'node:crypto'
import { type Instant, instant, MINUTE_MS, machineNow, parseIso } from '../base/clock.ts'
import type { Secret } from '../base/secret.ts'
import {
  apiError,
  invalidParameter,
  missingCommonParameter,
  signatureError,
  unreadableRequest,
} from './errors.ts'
import type { RawParameters } from './parameters.ts'
import { hideSecrets, type SecretParameters } from './secret-parameters.ts'
import { signV1, stringToSignV1 } from './signature-v1.ts'
import {
  ALGORITHM_V3,
  parseAuthorizationV3,
  sha256Hex,
  signV3,
  stringToSignV3,
} from './signature-v3.ts'

export const API_VERSION = '2014-08-15'

/** How far a request's time may be from the machine's, either way. */
const WINDOW_MS = 15 * MINUTE_MS
/** Nonces are kept longer than their window, for servers whose clocks differ a little. */
const CLOCK_DIFFERENCE_MS = MINUTE_MS
const NONCE_CHARACTERS_MAX = 256

export interface AccessKeys {
  find(
    accessKeyId: string,
  ): Promise<{ readonly secret: Secret<string>; readonly user: string } | null>
}

export interface Nonces {
  /** True the first time a key uses this nonce; remembered at least until `expiresAt`, real time. */
  use(accessKeyId: string, nonce: string, expiresAt: Instant): Promise<boolean>
}

/** A request as it arrived, read but not yet believed. */
export interface Arrival {
  readonly method: string
  readonly headers: ReadonlyMap<string, string>
  readonly query: RawParameters
  readonly form: RawParameters
  readonly body: Uint8Array
}

/** What both versions of the signature say: who asks what. Not to be believed before it is verified. */
interface Claim {
  readonly action: string
  readonly accessKeyId: string
  readonly timestamp: string
  readonly nonce: string
  readonly parameters: RawParameters
  /** For the client to compare; without secrets. */
  readonly shownStringToSign: string
  readonly signature: string
  readonly sign: (secret: string) => string
}

function isSignedV3(headers: ReadonlyMap<string, string>): boolean {
  return headers.get('authorization')?.startsWith('ACS3-') ?? false
}

/** Values of `secrets` are not in the string to sign that an error shows. */
export function readClaim(arrival: Arrival, secrets: SecretParameters): Claim {
  return isSignedV3(arrival.headers) ? claimV3(arrival) : claimV1(arrival, secrets)
}

/**
 * Verifies who asks, and that this very request was not seen before; gives the user. The nonce is
 * used up last, so that nobody without the secret can use up the nonces of others.
 */
export async function verifyClaim(claim: Claim, keys: AccessKeys, nonces: Nonces): Promise<string> {
  const { accessKeyId, nonce } = claim
  const signedAt = checkTime(claim.timestamp)
  if (nonce.length > NONCE_CHARACTERS_MAX) throw invalidParameter('SignatureNonce')
  const key = await keys.find(accessKeyId)
  if (key === null) throw apiError('InvalidAccessKeyId.NotFound')
  if (!sameText(claim.sign(key.secret.reveal()), claim.signature)) {
    throw signatureError('SignatureDoesNotMatch', claim.shownStringToSign)
  }
  const expiresAt = instant(signedAt + WINDOW_MS + CLOCK_DIFFERENCE_MS)
  if (!(await nonces.use(accessKeyId, nonce, expiresAt))) throw apiError('SignatureNonceUsed')
  return key.user
}

function claimV1({ method, query, form }: Arrival, secrets: SecretParameters): Claim {
  const parameters = new Map([...query, ...form])
  const common = (name: string): string => demand(parameters.get(name), name)
  const action = common('Action')
  checkVersion(common('Version'))
  const accessKeyId = common('AccessKeyId')
  const signature = common('Signature')
  const signatureMethod = common('SignatureMethod')
  if (signatureMethod.toUpperCase() !== 'HMAC-SHA1') throw apiError('InvalidSignatureMethod')
  if (common('SignatureVersion') !== '1.0') throw invalidParameter('SignatureVersion')
  if (parameters.get('SignatureType')) throw invalidParameter('SignatureType')
  const shownStringToSign = stringToSignV1(method, hideSecrets(parameters, secrets))
  if (!/^[A-Za-z0-9+/]{27}=$/.test(signature)) {
    throw signatureError('IncompleteSignature', shownStringToSign)
  }
  return {
    action,
    accessKeyId,
    timestamp: common('Timestamp'),
    nonce: common('SignatureNonce'),
    parameters,
    shownStringToSign,
    signature,
    sign: (secret) => signV1(secret, stringToSignV1(method, parameters)),
  }
}

/** The headers that say what is asked: each has to be signed, or anyone could change it. */
const SIGNED_ALWAYS = [
  'host',
  'x-acs-action',
  'x-acs-version',
  'x-acs-date',
  'x-acs-signature-nonce',
  'x-acs-content-sha256',
] as const

function claimV3({ method, headers, query, form, body }: Arrival): Claim {
  const header = headers.get('authorization') ?? ''
  if (header.split(' ', 1)[0] !== ALGORITHM_V3) throw apiError('InvalidSignatureMethod')
  const common = (name: string): string => demand(headers.get(name), name)
  const action = common('x-acs-action')
  checkVersion(common('x-acs-version'))
  const timestamp = common('x-acs-date')
  const nonce = common('x-acs-signature-nonce')
  const contentSha256 = common('x-acs-content-sha256')
  const authorization = parseAuthorizationV3(header)
  if (authorization === null) throw signatureError('IncompleteSignature', '')
  const { accessKeyId, signedHeaders, signature } = authorization
  const stringToSign = stringToSignV3({ method, query, headers, signedHeaders, contentSha256 })
  if (!SIGNED_ALWAYS.every((name) => signedHeaders.includes(name))) {
    throw signatureError('IncompleteSignature', stringToSign)
  }
  if (!sameText(contentSha256, sha256Hex(body))) {
    throw unreadableRequest('x-acs-content-sha256', 'It is not the SHA-256 of the body.')
  }
  return {
    action,
    accessKeyId,
    timestamp,
    nonce,
    parameters: new Map([...query, ...form]),
    // Version 3 shows a digest.
    shownStringToSign: stringToSign,
    signature,
    sign: (secret) => signV3(secret, stringToSign),
  }
}

function demand(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw missingCommonParameter(name)
  return value
}

function checkVersion(version: string): void {
  if (version !== API_VERSION) throw apiError('InvalidVersion')
}

function checkTime(timestamp: string): Instant {
  const at = /T\d\d:\d\d:\d\dZ$/.test(timestamp) ? parseIso(timestamp) : null
  if (at === null) throw apiError('InvalidTimeStamp.Format')
  if (Math.abs(machineNow() - at) > WINDOW_MS) throw apiError('InvalidTimeStamp.Expired')
  return at
}

function sameText(left: string, right: string): boolean {
  const [leftBytes, rightBytes] = [Buffer.from(left, 'utf8'), Buffer.from(right, 'utf8')]
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes)
}
