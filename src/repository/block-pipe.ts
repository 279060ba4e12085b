/** Hands blocks from one producer to one consumer; the producer waits while two are untaken. */
interface BlockPipe {
  /** Resolves when there is room again; rejects once the pipe has failed. */
  push(block: Uint8Array): Promise<void>
  end(): void
  /** Both sides throw `error` from now on; the first failure counts. */
  fail(error: unknown): void
  readonly blocks: AsyncIterable<Uint8Array>
}

const UNTAKEN_MAX = 2

export function createBlockPipe(): BlockPipe {
  const untaken: Uint8Array[] = []
  let failure: { readonly error: unknown } | null = null
  let ended = false
  let changed = Promise.withResolvers<void>()

  function wake(): void {
    changed.resolve()
    changed = Promise.withResolvers<void>()
  }

  async function* take(): AsyncIterable<Uint8Array> {
    for (;;) {
      if (failure) throw failure.error
      const block = untaken.shift()
      if (block) {
        wake()
        yield block
      } else if (ended) {
        return
      } else {
        await changed.promise
      }
    }
  }

  return {
    async push(block) {
      untaken.push(block)
      wake()
      while (!failure && untaken.length > UNTAKEN_MAX) await changed.promise
      if (failure) throw failure.error
    },
    end() {
      ended = true
      wake()
    },
    fail(error) {
      failure ??= { error }
      wake()
    },
    blocks: take(),
  }
}
