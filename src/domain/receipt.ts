import { type Instant, isoMilliseconds, parseIso } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'

/**
 * What a receipt proves. `purge` is the decision that the bytes of deleted sets go, `reclaim` that
 * they have gone.
 */
export type ReceiptKind =
  | 'delete'
  | 'expire'
  | 'undelete'
  | 'purge'
  | 'reclaim'
  | 'hold'
  | 'release-hold'
  | 'modify-policy'
  | 'remove-instance'

/** Who did it. */
export interface Actor {
  /** Null where nothing was signed. */
  readonly accessKeyId: string | null
  readonly user: string
  readonly address: string | null
}

/** What the service does by itself. */
export const SYSTEM: Actor = { accessKeyId: null, user: 'system', address: null }

export type ReceiptValue =
  | string
  | number
  | boolean
  | null
  | readonly ReceiptValue[]
  | ReceiptDetails

/** A JSON object. */
export interface ReceiptDetails {
  readonly [name: string]: ReceiptValue
}

export interface NewReceipt {
  readonly kind: ReceiptKind
  readonly instanceId: InstanceId
  /** Service time. */
  readonly at: Instant
  /** Null when no API request asked for it. */
  readonly requestId: string | null
  readonly actor: Actor
  /** Plain JSON values; never a secret. */
  readonly details: ReceiptDetails
}

/** All that a receipt says. */
export interface Receipt extends NewReceipt {
  /** Its place in the instance's chain, from 1, without gaps. */
  readonly number: number
  /** Its ID among all events. */
  readonly event: number
  /** Real time. */
  readonly recordedAt: Instant
}

/** A receipt as it is kept: the text that was hashed, and what the catalogue repeats of it. */
export interface StoredReceipt {
  readonly instanceId: InstanceId
  readonly number: number
  readonly event: number
  readonly kind: string
  readonly at: Instant
  readonly recordedAt: Instant
  readonly requestId: string | null
  readonly body: string
  /** The hash of the receipt before it. */
  readonly previous: string
  readonly hash: string
}

const FORMAT = 1
/** Far more than the longest list of sets; the pages in which receipts are read stay small. */
const BODY_CHARACTERS_MAX = 2 ** 20

/** The text that is hashed: JSON in this order of names, without blanks. docs/formats/receipts.md. */
export function bodyOf(receipt: Receipt): string {
  const { actor } = receipt
  requireJson(receipt.details)
  const body = JSON.stringify({
    format: FORMAT,
    instanceId: receipt.instanceId,
    number: receipt.number,
    event: receipt.event,
    kind: receipt.kind,
    serviceTime: isoMilliseconds(receipt.at),
    time: isoMilliseconds(receipt.recordedAt),
    requestId: receipt.requestId,
    accessKeyId: actor.accessKeyId,
    user: actor.user,
    address: actor.address,
    details: receipt.details,
  })
  invariant(body.length <= BODY_CHARACTERS_MAX, `a receipt is short: ${body.length} characters`)
  return body
}

/** What would silently become something else in JSON is a bug of whoever made it. */
function requireJson(value: ReceiptValue): void {
  if (typeof value === 'number') invariant(Number.isFinite(value), `${value} is no JSON number`)
  invariant(value !== undefined, 'nothing in a receipt is undefined')
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(requireJson)
}

/** What a body says; null when it is not one that this version writes. */
export function readBody(body: string): Receipt | null {
  const fields = parseObject(body)
  if (fields === null || fields['format'] !== FORMAT) return null
  const { instanceId, number, event, kind, requestId, accessKeyId, user, address, details } = fields
  const at = parseTime(fields['serviceTime'])
  const recordedAt = parseTime(fields['time'])
  if (at === null || recordedAt === null) return null
  if (typeof instanceId !== 'string' || typeof number !== 'number') return null
  if (typeof event !== 'number' || typeof kind !== 'string' || typeof user !== 'string') return null
  if (!isTextOrNull(requestId) || !isTextOrNull(accessKeyId) || !isTextOrNull(address)) return null
  if (typeof details !== 'object' || details === null || Array.isArray(details)) return null
  return {
    instanceId: instanceId as InstanceId,
    number,
    event,
    kind: kind as ReceiptKind,
    at,
    recordedAt,
    requestId,
    actor: { accessKeyId, user, address },
    details: details as ReceiptDetails,
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? (value as Readonly<Record<string, unknown>> | null) : null
  } catch {
    // Not JSON: whoever compares it says so.
    return null
  }
}

function parseTime(value: unknown): Instant | null {
  return typeof value === 'string' ? parseIso(value) : null
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
