import { isFault, systemCode } from '../base/fault.ts'

/** How often one and the same user of the connection says that there is none. */
export const LOSS_LOGGED_MS = 10_000

/**
 * Codes of PostgreSQL (manual, "PostgreSQL Error Codes") that say more about the server than about the
 * statement: connection exceptions, too many connections, shutting down or starting, and a server that
 * has become a standby.
 */
const SQL_STATE = /^(08...|53300|57P0[1235]|25006)$/
const NETWORK =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT)$/
/** What the `pg` and `pg-pool` packages say without a code. */
const WORDS =
  /^(Connection terminated|Client (has encountered a connection error|was closed)|timeout e(xpired|xceeded when trying to connect))/

/** Whether a statement failed because there is no connection to the catalogue's server, or was none. */
export function isConnectionLoss(error: unknown): boolean {
  if (isFault(error)) return isConnectionLoss(error.cause)
  const code = systemCode(error)
  if (code !== null && (SQL_STATE.test(code) || NETWORK.test(code))) return true
  if (error instanceof AggregateError) return error.errors.some(isConnectionLoss)
  return error instanceof Error && WORDS.test(error.message)
}
