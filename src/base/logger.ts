import { pino } from 'pino'

/**
 * JSON lines. The message is a constant phrase, values go in fields. `error` = a person must act,
 * `warn` = degraded, `info` = a state changed.
 */
export interface Logger {
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
  child(fields: object): Logger
}

/** Writes to `descriptor` (1 = stdout), synchronously, so that the last line before a crash is kept. */
export function createLogger(descriptor: number): Logger {
  return wrap(
    pino(
      { base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'message' },
      pino.destination({ fd: descriptor, sync: true }),
    ),
  )
}

export const SILENT: Logger = { info() {}, warn() {}, error() {}, child: () => SILENT }

function wrap(log: ReturnType<typeof pino>): Logger {
  return {
    info: (message, fields) => log.info(fields ?? {}, message),
    warn: (message, fields) => log.warn(fields ?? {}, message),
    error: (message, fields) => log.error(fields ?? {}, message),
    child: (fields) => wrap(log.child(fields)),
  }
}
