import { Fault } from '../../base/fault.ts'

/**
 * A message of the backend. The body of a CopyData message may come in pieces, as the network
 * delivered it; every other message comes whole.
 */
export type BackendMessage =
  | {
      readonly kind: 'copy'
      readonly piece: Buffer
      readonly first: boolean
      readonly last: boolean
    }
  | { readonly kind: 'other'; readonly type: string; readonly body: Buffer }

/** Far beyond any message but CopyData: rows and complaints of replication commands are short. */
const MESSAGE_MAX_BYTES = 64 * 1024 * 1024
const HEADER_BYTES = 5
const COPY_DATA = 0x64

/**
 * Cuts a byte stream into messages: a type byte, a big-endian length that counts itself, a body
 * (PostgreSQL manual, "Messaging Overview"). Pieces of CopyData are slices of the given chunk, not
 * copies.
 */
export class MessageReader {
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  #left = 0
  #first = false
  #parts: Buffer[] = [];

  *read(chunk: Buffer): Generator<BackendMessage> {
    let at = 0
    for (;;) {
      if (this.#headerBytes < HEADER_BYTES) {
        at += this.#takeHeader(chunk, at)
        if (this.#headerBytes < HEADER_BYTES) return
      }
      // A body of no bytes is complete with its header, even at the end of the chunk.
      if (this.#left > 0 && at === chunk.length) return
      const piece = chunk.subarray(at, at + this.#left)
      this.#left -= piece.length
      at += piece.length
      const message = this.#takePiece(piece)
      if (message) yield message
    }
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const taken = chunk.copy(
      this.#header,
      this.#headerBytes,
      at,
      at + HEADER_BYTES - this.#headerBytes,
    )
    this.#headerBytes += taken
    if (this.#headerBytes < HEADER_BYTES) return taken
    this.#left = this.#header.readInt32BE(1) - 4
    this.#first = true
    const bounded = this.#header[0] === COPY_DATA || this.#left <= MESSAGE_MAX_BYTES
    if (this.#left < 0 || !bounded) {
      throw new Fault('transient', 'the server sent what is no message of the protocol')
    }
    return taken
  }

  #takePiece(piece: Buffer): BackendMessage | null {
    const last = this.#left === 0
    if (last) this.#headerBytes = 0
    const type = this.#header[0] ?? 0
    if (type === COPY_DATA) {
      const first = this.#first
      this.#first = false
      return { kind: 'copy', piece, first, last }
    }
    if (!last || this.#parts.length > 0) this.#parts.push(Buffer.from(piece))
    if (!last) return null
    const body = this.#parts.length > 0 ? Buffer.concat(this.#parts) : piece
    this.#parts = []
    return { kind: 'other', type: String.fromCharCode(type), body }
  }
}

/** The columns of a DataRow, as text. */
export function readRow(body: Buffer): readonly (string | null)[] {
  const columns: (string | null)[] = []
  let at = 2
  for (let left = body.readInt16BE(0); left > 0; left -= 1) {
    const length = body.readInt32BE(at)
    at += 4
    columns.push(length < 0 ? null : body.toString('utf8', at, at + length))
    at += Math.max(0, length)
  }
  return columns
}

/** The fields of an ErrorResponse by their one-letter code. */
export function readFields(body: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const field of body.toString('utf8').split('\0')) {
    if (field !== '') fields.set(field.slice(0, 1), field.slice(1))
  }
  return fields
}
