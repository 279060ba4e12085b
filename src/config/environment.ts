/** The names this service reads, and the only place that reads them. */
export interface Environment {
  readonly HOLDFAST_DATA?: string
  readonly HOLDFAST_STORAGE?: string
  readonly HOLDFAST_LISTEN?: string
  readonly HOLDFAST_ACCESS_KEY_ID?: string
  readonly HOLDFAST_ACCESS_KEY_SECRET?: string
  readonly HOLDFAST_KEY_FILE?: string
  readonly HOLDFAST_REGION?: string
  readonly HOLDFAST_SERVER_USER?: string
  readonly HOLDFAST_ENDPOINT?: string
  readonly HOME?: string
}

/** The process's environment, for reading only. */
export function readEnvironment(): Environment {
  return process.env
}
