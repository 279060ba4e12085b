/** Repeatable random numbers: a failure is reproduced by its seed. */
export interface RandomSource {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number
  chance(probability: number): boolean
  pick<Item>(items: readonly Item[]): Item
  bytes(length: number): Buffer
}

/** Xorshift32: good enough to vary tests. */
export function randomSource(seed: number): RandomSource {
  let state = (seed * 2654435761 + 1) >>> 0 || 1

  function next(): number {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }

  const below = (limit: number): number => Math.floor((next() / 2 ** 32) * limit)
  return {
    below,
    chance: (probability) => next() / 2 ** 32 < probability,
    pick(items) {
      const [item] = items.slice(below(items.length))
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
    bytes(length) {
      const bytes = Buffer.alloc(length)
      for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(next(), at)
      for (let at = length & ~3; at < length; at += 1) bytes[at] = next() & 0xff
      return bytes
    },
  }
}
