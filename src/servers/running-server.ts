/** A server that this process started. Disposing stops it and waits for its end. */
export interface RunningServer extends AsyncDisposable {
  readonly pid: number
  readonly port: number
  /** Resolves when the process is gone, for whatever reason; never rejects. */
  readonly exited: Promise<{ readonly code: number | null; readonly logTail: string }>
}
