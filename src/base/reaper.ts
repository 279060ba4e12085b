import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { realpath } from 'node:fs/promises'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { invariant } from './fault.ts'
import { processStart } from './processes.ts'
import { siblingModule } from './sibling-module.ts'

/**
 * What is to be cleaned away when this process ends, `kill -9` included: a small program of its own
 * session holds the list and the reading end of a pipe whose writing end only this process has, so
 * the end of the pipe is the end of this process. Disposing forgets everything and ends the program.
 */
export interface Reaper extends AsyncDisposable {
  /** Stops every `postgres` that works at or below the folder, then removes the folder. */
  watchFolder(folder: string): Promise<Watch>
  /** Ends the process (politely, then by force), before any folder is looked at. */
  watchProcess(pid: number): Promise<Watch>
}

/** From `forget` on, the thing is left alone. */
export interface Watch {
  forget(): Promise<void>
}

/** A line to the reaper's program, as JSON; a number stands for one watched thing. */
export type ReaperOrder =
  | { readonly watch: number; readonly folder: string }
  | { readonly watch: number; readonly pid: number; readonly start: string }
  | { readonly forget: number }

export function startReaper(): Reaper {
  const program = fileURLToPath(siblingModule('./reaper-program', import.meta.url))
  // A session of its own (Ctrl-C must not reach it), no folder held, nothing of our environment.
  const child = spawn(process.execPath, [program], {
    detached: true,
    cwd: '/',
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  return new PipeReaper(child)
}

class PipeReaper implements Reaper {
  readonly #child: ChildProcess
  #next = 1
  readonly #watched = new Set<number>()

  constructor(child: ChildProcess) {
    this.#child = child
    // It must never keep this process alive.
    child.unref()
    if (child.stdin instanceof Socket) child.stdin.unref()
    // Every order reports its own failure; without a listener the process would end.
    child.stdin?.on('error', () => {})
  }

  async watchFolder(folder: string): Promise<Watch> {
    const real = await realpath(folder)
    invariant(real.split('/').length > 2, 'no folder at the root of the file system is reaped')
    return await this.#watch((watch) => ({ watch, folder: real }))
  }

  async watchProcess(pid: number): Promise<Watch> {
    const start = await processStart(pid)
    if (start === null) return { forget: async () => {} }
    return await this.#watch((watch) => ({ watch, pid, start }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watched) await this.#order({ forget: watch })
    this.#watched.clear()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.ref()
    this.#child.stdin?.end()
    await exited
  }

  async #watch(order: (watch: number) => ReaperOrder): Promise<Watch> {
    const watch = this.#next++
    await this.#order(order(watch))
    this.#watched.add(watch)
    return {
      forget: async () => {
        if (this.#watched.delete(watch)) await this.#order({ forget: watch })
      },
    }
  }

  /** Resolves when the line is in the pipe: from then on it survives this process. */
  async #order(order: ReaperOrder): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    invariant(this.#child.stdin, 'the reaper was started with a pipe')
    this.#child.stdin.write(`${JSON.stringify(order)}\n`, (error) =>
      error ? reject(error) : resolve(),
    )
    await promise
  }
}
