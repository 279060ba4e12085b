/** Who did something, as a signature proved it, or the service itself. */
export interface Actor {
  readonly accessKeyId: string | null
  readonly user: string
  /** The address at the other end of the connection; null when there was none. */
  readonly address: string | null
}

/** What the service does by itself. */
export const SYSTEM: Actor = { accessKeyId: null, user: 'system', address: null }
