/** One thing to change before a server can be attached; for people. */
export interface ServerProblem {
  /** `host:port`. */
  readonly server: string
  readonly problem: string
  /** The setting, statement or line that mends it. */
  readonly advice: string
}

/** What came of attaching an instance. A refused one is gone, its problems are kept for a day. */
export interface AttachTask {
  readonly state: 'running' | 'finished' | 'refused'
  readonly problems: readonly ServerProblem[]
}
