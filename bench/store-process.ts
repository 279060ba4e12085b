import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { StoreReply, StoreRequest } from './store-program.ts'

type Answer = Exclude<StoreReply, { readonly failure: string }>

/** A repository in a process of its own, so that its CPU time and memory are nobody else's. */
export class StoreProcess implements AsyncDisposable {
  readonly #child: ChildProcess

  /** `chunkBytes`: what its repository is made with, where it is not what a new one has. */
  constructor(chunkBytes?: number) {
    const program = fileURLToPath(new URL('./store-program.ts', import.meta.url))
    const given = chunkBytes === undefined ? [] : [`--chunk-bytes=${chunkBytes}`]
    this.#child = fork(program, given, { execArgv: [], stdio: 'inherit' })
  }

  async ask(request: StoreRequest): Promise<Answer> {
    const stop = new AbortController()
    const ended = once(this.#child, 'exit', stop).then(([code]) => {
      throw new Error(`the storing process ended with ${code}`)
    })
    const answered = once(this.#child, 'message', stop)
    try {
      this.#child.send(request)
      const [reply] = (await Promise.race([answered, ended])) as [StoreReply]
      if ('failure' in reply) throw new Error(reply.failure)
      return reply
    } finally {
      stop.abort()
      // Both end with the abort, or have ended: nobody else waits for them.
      await Promise.allSettled([answered, ended])
    }
  }

  /** Its repository is removed with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.send({ act: 'stop' } satisfies StoreRequest)
    await exited
  }
}
