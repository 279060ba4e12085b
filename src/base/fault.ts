/**
 * What went wrong, coarsely enough to act on. Only retries look at `transient`; `superseded` means
 * that a later attempt of the same job has taken over and this one must stop silently.
 */
export type FaultKind =
  | 'not-found'
  | 'exists'
  | 'transient'
  | 'denied'
  | 'corrupt'
  | 'no-space'
  | 'unfit'
  | 'cancelled'
  | 'superseded'

/** An expected failure of the outside world. `hint` tells a person what to change. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly kind: FaultKind
  readonly hint: string | null

  constructor(kind: FaultKind, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.kind = kind
    this.hint = options.hint ?? null
  }
}

export function isFault(error: unknown, ...kinds: readonly FaultKind[]): error is Fault {
  return error instanceof Fault && (kinds.length === 0 || kinds.includes(error.kind))
}

/** A broken invariant is a bug: never caught short of the job or request boundary. */
export function invariant(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${sentence}`)
}

/** The code of a Node system error (`ENOENT`), or null. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

/** Translates a file system error where it enters; what is no system error passes unchanged. */
export function fileFault(error: unknown, doing: string): unknown {
  const code = systemCode(error)
  if (code === null) return error
  const message = `${doing}: ${(error as Error).message}`
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new Fault('no-space', message, { cause: error, hint: 'free space on that file system' })
  }
  if (code === 'EFBIG') {
    const hint = 'a file may be no larger there: see ulimit -f, and what that file system takes'
    return new Fault('no-space', message, { cause: error, hint })
  }
  if (code === 'ENOENT') return new Fault('not-found', message, { cause: error })
  if (code === 'EEXIST') return new Fault('exists', message, { cause: error })
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new Fault('denied', message, { cause: error })
  }
  if (code === 'EISDIR' || code === 'ENOTDIR' || code === 'ELOOP') {
    return new Fault('unfit', message, { cause: error })
  }
  if (code === 'EIO') return new Fault('corrupt', message, { cause: error })
  return error
}

/** The message of anything thrown, with its causes, for a log line or a job's row. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause === undefined) return error.message
  const cause = describeError(error.cause)
  // A message often quotes its cause already.
  return error.message.includes(cause) ? error.message : `${error.message} (caused by: ${cause})`
}

/** The same for a person who can act on it: followed by what the first Fault that knows it advises. */
export function describeWithAdvice(error: unknown): string {
  const hint = hintIn(error)
  return hint === null ? describeError(error) : `${describeError(error)}; ${hint}`
}

function hintIn(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  return isFault(error) && error.hint !== null ? error.hint : hintIn(error.cause)
}
