/**
 * Named immutable bytes. Names are `/`-separated paths of `[a-z0-9._-]` segments, written at most
 * once. Writing is durable when it resolves; nobody sees a half-written object.
 */
export interface Storage extends AsyncDisposable {
  /**
   * Creates the object. When it exists with the same bytes it is adopted (the write timed out and
   * had succeeded); with others a Fault 'exists' is thrown. A failed fsync discards the file and is
   * never retried. Faults: 'no-space', 'denied', 'exists'.
   */
  write(
    name: string,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number }>
  /** Reads exactly `length` bytes; Fault 'not-found' when absent, 'corrupt' when shorter. */
  readRange(name: string, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
  /** Size in bytes; null when absent. */
  size(name: string, signal: AbortSignal): Promise<number | null>
  /** Removing what is not there succeeds; takes any unfinished write of that name with it. Durable. */
  remove(names: readonly string[], signal: AbortSignal): Promise<void>
  /** Objects whose name starts with `prefix`, in no order; unfinished writes are not objects. */
  list(
    prefix: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly name: string; readonly sizeBytes: number }>
  /**
   * Writes that were begun and are not finished, by the name of their object, in no order: those
   * under way, and those of killed processes.
   */
  listUnfinished(
    signal: AbortSignal,
  ): AsyncIterable<{ readonly name: string; readonly sizeBytes: number }>
}
