/** Keeps the values used last, up to a total weight. */
interface WeightedCache<Key, Value> {
  get(key: Key): Value | undefined
  set(key: Key, value: Value, weight: number): void
  delete(key: Key): void
}

export function weightedCache<Key, Value>(weightMax: number): WeightedCache<Key, Value> {
  // A Map iterates in the order of insertion: the first entry is the one used longest ago.
  const entries = new Map<Key, { readonly value: Value; readonly weight: number }>()
  let total = 0

  function remove(key: Key): void {
    total -= entries.get(key)?.weight ?? 0
    entries.delete(key)
  }

  return {
    get(key) {
      const entry = entries.get(key)
      if (!entry) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry.value
    },
    set(key, value, weight) {
      remove(key)
      entries.set(key, { value, weight })
      total += weight
      for (const oldest of entries.keys()) {
        if (total <= weightMax || oldest === key) break
        remove(oldest)
      }
    },
    delete: remove,
  }
}
