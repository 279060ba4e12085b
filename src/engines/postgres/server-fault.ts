import { Fault, type FaultKind, systemCode } from '../../base/fault.ts'
import type { Endpoint } from '../engine.ts'

/** What a server says in an ErrorResponse. */
export interface ServerComplaint {
  readonly message: string
  readonly sqlState: string
  readonly hint: string | null
}

/** A server's complaint as a Fault that carries its own words and SQLSTATE. */
export function serverFault(complaint: ServerComplaint, doing: string): Fault {
  return new Fault(
    kindOf(complaint.sqlState),
    `${doing}: ${complaint.message} (SQLSTATE ${complaint.sqlState})`,
    complaint.hint === null ? {} : { hint: complaint.hint },
  )
}

/** Translates what the `pg` package throws; what it does not know passes unchanged. */
export function clientFault(error: unknown, endpoint: Endpoint, doing: string): unknown {
  if (error instanceof Fault || !(error instanceof Error) || error.name === 'AbortError') {
    return error
  }
  const where = placeOf(endpoint, doing)
  const code = systemCode(error)
  if (code !== null && /^[0-9A-Z]{5}$/.test(code) && 'severity' in error) {
    return new Fault(kindOf(code), `${where}: ${error.message} (SQLSTATE ${code})`, {
      cause: error,
      ...hintFor(code, endpoint),
    })
  }
  return new Fault('transient', `${where}: ${wordsOf(error)}`, { cause: error })
}

/** What was being done where, as the beginning of a sentence. */
export function placeOf({ host, port, node }: Endpoint, doing: string): string {
  return `${doing} at ${host}:${port} (${node})`
}

/** Of a host with several addresses each is tried, and the error for all of them has no words. */
function wordsOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message
  return error.errors.map((one) => (one instanceof Error ? one.message : String(one))).join('; ')
}

/** Classes of the PostgreSQL manual, "PostgreSQL Error Codes". */
function kindOf(sqlState: string): FaultKind {
  if (sqlState.startsWith('28') || sqlState === '42501') return 'denied'
  if (sqlState === 'XX001' || sqlState === 'XX002') return 'corrupt'
  if (/^(22|42|0A)/.test(sqlState)) return 'unfit'
  return 'transient'
}

function hintFor(sqlState: string, endpoint: Endpoint): { hint?: string } {
  if (sqlState === '28000') {
    return { hint: `let ${endpoint.user} in: pg_hba.conf needs lines for SQL and for replication` }
  }
  if (sqlState === '28P01') return { hint: `check the password of ${endpoint.user}` }
  if (sqlState === '42501') return { hint: `${endpoint.user} needs REPLICATION and pg_monitor` }
  return {}
}
