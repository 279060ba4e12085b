/** A seeded source of randomness, so that a failing history can be run again (mulberry32). */
export interface PseudoRandom {
  /** A whole number in [0, below). */
  below(limit: number): number
  pick<T>(items: readonly T[]): T
  /** True once in `times`. */
  once(times: number): boolean
  bytes(length: number): Uint8Array
}

export function pseudoRandom(seed: number): PseudoRandom {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    below,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
    once: (times) => below(times) === 0,
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
  }
}
