import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { Fault } from './fault.ts'
import { Secret } from './secret.ts'

/** Seals small secrets at rest: AES-256-GCM, 12-byte random nonce, 16-byte tag, in that order. */
export interface Sealer {
  seal(secret: Secret<string>): Uint8Array
  /** Fault 'denied' when it was sealed under another key, or is damaged. */
  open(sealed: Uint8Array): Secret<string>
}

export const SEALING_KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

export function createSealer(key: Secret<Uint8Array>): Sealer {
  return {
    seal: (secret) => {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key.reveal(), nonce)
      const text = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()])
      return Buffer.concat([nonce, text, cipher.getAuthTag()])
    },
    open: (sealed) => {
      const bytes = Buffer.from(sealed)
      try {
        const nonce = bytes.subarray(0, NONCE_BYTES)
        const decipher = createDecipheriv('aes-256-gcm', key.reveal(), nonce)
        decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
        const text = bytes.subarray(NONCE_BYTES, -TAG_BYTES)
        return new Secret(Buffer.concat([decipher.update(text), decipher.final()]).toString('utf8'))
      } catch (error) {
        throw new Fault('denied', 'a sealed secret does not open with this key', {
          cause: error,
          hint: 'HOLDFAST_KEY_FILE must be the file with which this service was first started',
        })
      }
    },
  }
}
