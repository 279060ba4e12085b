import { createHash, createHmac, hkdfSync } from 'node:crypto'
import type { Secret } from './secret.ts'

/** Chains receipts, so that nobody without the key can change, drop or reorder them unnoticed. */
export interface ReceiptChain {
  /**
   * The hash, 64 lower-case hex digits, of a receipt with this body that follows the one whose hash
   * is `previous`: HMAC-SHA256 over `previous`, a line feed, and the body as UTF-8.
   */
  link(previous: string, body: string): string
}

const KEY_BYTES = 32
const KEY_PURPOSE = 'holdfast receipts v1'

/** `key` is the one that seals secrets; what chains receipts is derived from it and opens nothing. */
export function createReceiptChain(key: Secret<Uint8Array>): ReceiptChain {
  const derived = hkdfSync('sha256', key.reveal(), new Uint8Array(), KEY_PURPOSE, KEY_BYTES)
  const chainKey = Buffer.from(derived)
  return {
    link: (previous, body) =>
      createHmac('sha256', chainKey).update(`${previous}\n${body}`, 'utf8').digest('hex'),
  }
}

/** What the first receipt of an instance follows: no other chain can be put in its place. */
export function genesisOf(instanceId: string): string {
  return constantOf(`holdfast receipts v1\n${instanceId}`)
}

/** What the file of heads follows, which is authenticated with the same key as the receipts. */
export const HEADS_GENESIS: string = constantOf('holdfast receipt heads v1')

function constantOf(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}
