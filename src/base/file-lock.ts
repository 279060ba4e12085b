import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describeError, Fault } from './fault.ts'

/** A lock on a file; disposing gives it back. */
export interface FileLock extends AsyncDisposable {
  /** Resolves when the lock is gone though nobody gave it back. */
  readonly lost: Promise<void>
}

const LOCKED = 75

/**
 * Holds the file, which is made if need be, against other processes, in other containers too; null
 * when another one holds it. It is a `flock` held by a child that ends with its standard input, that is
 * with this process, however it ends. So there is no stale lock.
 */
export async function tryFileLock(file: string): Promise<FileLock | null> {
  const words = ['--nonblock', '--conflict-exit-code', String(LOCKED), file]
  const child = spawn('flock', [...words, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin' },
    // A session of its own: Ctrl-C must not take the lock before its holder has stopped.
    detached: true,
  })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  const held = once(child.stdout, 'data').then(() => 'held' as const)
  try {
    const answer = await Promise.race([held, exited])
    if (answer === LOCKED) return null
    if (answer !== 'held') throw new Error(`flock ended with ${answer}`)
  } catch (error) {
    throw new Fault('unfit', `${file} cannot be locked: ${describeError(error)}`, {
      hint: 'the program flock is needed, of the package util-linux',
    })
  }
  let given = false
  return {
    lost: exited.then(() => (given ? new Promise<void>(() => {}) : undefined)),
    [Symbol.asyncDispose]: async () => {
      given = true
      child.stdin.end()
      await exited
    },
  }
}
