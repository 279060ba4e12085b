import { Worker } from 'node:worker_threads'
import { describeError, Fault, invariant } from '../base/fault.ts'
import { siblingModule } from '../base/sibling-module.ts'
import type { CodecBatch } from './codec-batch.ts'
import type { CodecReply, CodecRequest } from './codec-thread.ts'

/**
 * Hashes, compresses and decompresses in threads. At most `slots` batches are inside at once;
 * further callers wait their turn. A batch belongs to the pool until the promise settles.
 */
export interface CodecPool extends AsyncDisposable {
  encode(batch: CodecBatch, key: Uint8Array, signal: AbortSignal): Promise<CodecBatch>
  /** Returns a batch of the raw bytes; a row that fails its hash is flagged, not thrown. */
  decode(batch: CodecBatch, key: Uint8Array, signal: AbortSignal): Promise<CodecBatch>
}

export function openCodecPool(options: {
  readonly threads: number
  readonly slots: number
}): CodecPool {
  invariant(options.threads > 0 && options.slots > 0, 'a codec pool has threads and slots')
  return new ThreadPool(options.threads, options.slots)
}

interface Thread {
  /** Null until it is first needed, and again after it has crashed. */
  worker: Worker | null
  readonly pending: Map<number, PromiseWithResolvers<CodecBatch>>
}

class ThreadPool implements CodecPool {
  readonly #threads: readonly Thread[]
  readonly #waiting: PromiseWithResolvers<void>[] = []
  #freeSlots: number
  #lastTicket = 0
  #closed = false

  constructor(threads: number, slots: number) {
    this.#threads = Array.from({ length: threads }, () => ({ worker: null, pending: new Map() }))
    this.#freeSlots = slots
  }

  encode(batch: CodecBatch, key: Uint8Array, signal: AbortSignal): Promise<CodecBatch> {
    return this.#run('encode', batch, key, signal)
  }

  decode(batch: CodecBatch, key: Uint8Array, signal: AbortSignal): Promise<CodecBatch> {
    return this.#run('decode', batch, key, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const waiter of this.#waiting.splice(0)) waiter.reject(closedFault())
    await Promise.all(this.#threads.map((thread) => thread.worker?.terminate()))
  }

  async #run(
    direction: CodecRequest['direction'],
    batch: CodecBatch,
    key: Uint8Array,
    signal: AbortSignal,
  ): Promise<CodecBatch> {
    await this.#takeSlot(signal)
    try {
      return await this.#ask(direction, batch, key)
    } finally {
      this.#giveSlot()
    }
  }

  async #takeSlot(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#closed) throw closedFault()
    if (this.#freeSlots > 0) {
      this.#freeSlots -= 1
      return
    }
    const waiter = Promise.withResolvers<void>()
    const leave = (): void => {
      const place = this.#waiting.indexOf(waiter)
      if (place >= 0) this.#waiting.splice(place, 1)
      waiter.reject(signal.reason)
    }
    this.#waiting.push(waiter)
    signal.addEventListener('abort', leave, { once: true })
    try {
      await waiter.promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** The slot passes to the one that waits longest. */
  #giveSlot(): void {
    const next = this.#waiting.shift()
    if (next) next.resolve()
    else this.#freeSlots += 1
  }

  #ask(
    direction: CodecRequest['direction'],
    batch: CodecBatch,
    key: Uint8Array,
  ): Promise<CodecBatch> {
    if (this.#closed) throw closedFault()
    const thread = this.#threads.reduce((idlest, other) =>
      other.pending.size < idlest.pending.size ? other : idlest,
    )
    thread.worker ??= startThread(thread)
    this.#lastTicket += 1
    const request: CodecRequest = { ticket: this.#lastTicket, direction, batch, key }
    const answer = Promise.withResolvers<CodecBatch>()
    thread.pending.set(request.ticket, answer)
    thread.worker.postMessage(request, [batch.buffer])
    return answer.promise
  }
}

function startThread(thread: Thread): Worker {
  const worker = new Worker(siblingModule('./codec-thread', import.meta.url), {
    // Its garbage is buffers outside the heap: collected often, they do not pile up.
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  })
  let cause: unknown = null
  worker.on('message', ({ ticket, batch }: CodecReply) => {
    const answer = thread.pending.get(ticket)
    thread.pending.delete(ticket)
    answer?.resolve(batch)
  })
  worker.on('error', (error) => {
    cause = error
  })
  worker.on('exit', (code) => {
    if (thread.worker === worker) thread.worker = null
    const reason = cause === null ? `exit code ${code}` : describeError(cause)
    const fault = new Fault('transient', `a codec thread ended (${reason})`, { cause })
    for (const answer of thread.pending.values()) answer.reject(fault)
    thread.pending.clear()
  })
  return worker
}

function closedFault(): Fault {
  return new Fault('cancelled', 'the codec pool is closed')
}
