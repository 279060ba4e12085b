import { Fault } from '../base/fault.ts'

/** The widest whole number that a field may hold, so that every reader's number type can hold it. */
const NUMBER_MAX = Number.MAX_SAFE_INTEGER

/**
 * Writes the fields of lists and manifests: whole numbers in 7-bit groups, least significant first,
 * the high bit set on all but the last (LEB128); bytes and UTF-8 text after their length.
 */
interface FieldWriter {
  number(value: number): void
  /** Bytes as they are, without a length. */
  plain(bytes: Uint8Array): void
  bytes(bytes: Uint8Array): void
  text(text: string): void
  finish(): Buffer
}

export interface FieldReader {
  readonly ended: boolean
  number(): number
  plain(length: number): Buffer
  bytes(): Buffer
  text(): string
}

export function fieldWriter(): FieldWriter {
  const parts: Uint8Array[] = []
  const writer: FieldWriter = {
    number(value) {
      const groups: number[] = []
      let rest = value
      while (rest >= 0x80) {
        groups.push((rest % 0x80) | 0x80)
        rest = Math.floor(rest / 0x80)
      }
      groups.push(rest)
      parts.push(Uint8Array.from(groups))
    },
    plain(bytes) {
      parts.push(bytes)
    },
    bytes(bytes) {
      writer.number(bytes.length)
      parts.push(bytes)
    },
    text(text) {
      writer.bytes(Buffer.from(text, 'utf8'))
    },
    finish: () => Buffer.concat(parts),
  }
  return writer
}

/** Every method throws Fault 'corrupt', naming `what`, where the bytes do not hold the field. */
export function fieldReader(source: Uint8Array, what: string): FieldReader {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.length)
  let at = 0

  function take(length: number): Buffer {
    if (at + length > bytes.length) throw new Fault('corrupt', `${what} ends too early`)
    at += length
    return bytes.subarray(at - length, at)
  }

  function takeNumber(): number {
    let value = 0
    for (let factor = 1; factor <= NUMBER_MAX; factor *= 0x80) {
      const group = take(1)[0] ?? 0
      value += (group & 0x7f) * factor
      if (group < 0x80 && value <= NUMBER_MAX) return value
    }
    throw new Fault('corrupt', `${what} holds a number that is too large`)
  }

  return {
    get ended() {
      return at === bytes.length
    },
    number: takeNumber,
    plain: take,
    bytes: () => take(takeNumber()),
    text: () => take(takeNumber()).toString('utf8'),
  }
}
