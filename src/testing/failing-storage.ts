import type { Storage } from '../storage/storage.ts'

export interface PlannedFailure {
  readonly operation: 'write' | 'remove' | 'readRange'
  /** The how-manieth call of that operation fails, from 1. */
  readonly nth: number
  readonly error: Error
}

/**
 * `inner` with failures at chosen calls. A failing write still takes all of its bytes, as a disk
 * that fails at the fsync does; a failing removal removes nothing.
 */
export function failingStorage(inner: Storage, failures: readonly PlannedFailure[]): Storage {
  const calls = { write: 0, remove: 0, readRange: 0 }

  function planned(operation: PlannedFailure['operation']): Error | null {
    calls[operation] += 1
    const nth = calls[operation]
    return failures.find((plan) => plan.operation === operation && plan.nth === nth)?.error ?? null
  }

  return {
    async write(name, bytes, signal) {
      const error = planned('write')
      if (error === null) return inner.write(name, bytes, signal)
      for await (const _ of bytes) signal.throwIfAborted()
      throw error
    },
    async readRange(name, offset, length, signal) {
      const error = planned('readRange')
      if (error !== null) throw error
      return inner.readRange(name, offset, length, signal)
    },
    async remove(names, signal) {
      const error = planned('remove')
      if (error !== null) throw error
      return inner.remove(names, signal)
    },
    size: (name, signal) => inner.size(name, signal),
    list: (prefix, signal) => inner.list(prefix, signal),
    listUnfinished: (signal) => inner.listUnfinished(signal),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  }
}
