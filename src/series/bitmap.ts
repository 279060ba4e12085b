/** Sets of chunk numbers as bytes: bit i of byte ⌊i/8⌋ (least significant first) is chunk i. */

export function fullBitmap(count: number): Uint8Array {
  const bits = new Uint8Array(Math.ceil(count / 8)).fill(0xff)
  const rest = count % 8
  if (rest > 0) bits[bits.length - 1] = (1 << rest) - 1
  return bits
}

/** The union; as long as the longer of the two. */
export function orBitmap(left: Uint8Array, right: Uint8Array): Uint8Array {
  const [long, short] = left.length >= right.length ? [left, right] : [right, left]
  const bits = new Uint8Array(long)
  for (const [index, byte] of short.entries()) bits[index] = (bits[index] ?? 0) | byte
  return bits
}

/** What is in `left` and not in `right`. */
export function withoutBitmap(left: Uint8Array, right: Uint8Array): Uint8Array {
  return left.map((byte, index) => byte & ~(right[index] ?? 0))
}

export function overlaps(left: Uint8Array, right: Uint8Array): boolean {
  return left.some((byte, index) => (byte & (right[index] ?? 0)) !== 0)
}

export function hasBit(bits: Uint8Array, index: number): boolean {
  return ((bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
}

/** Grows as needed; returns the bitmap that holds the bit (the same one when it was long enough). */
export function setBit(bits: Uint8Array, index: number): Uint8Array {
  const byte = index >>> 3
  let grown = bits
  if (byte >= bits.length) {
    grown = new Uint8Array(Math.max(byte + 1, bits.length * 2))
    grown.set(bits)
  }
  grown[byte] = (grown[byte] ?? 0) | (1 << (index & 7))
  return grown
}

export function countBits(bits: Uint8Array): number {
  let count = 0
  for (const byte of bits) for (let rest = byte; rest > 0; rest &= rest - 1) count += 1
  return count
}
