import { authority } from '../../base/address.ts'
import { describeError, isFault, systemCode } from '../../base/fault.ts'
import { accessLine, quoteIdentifier } from '../../domain/access.ts'
import type { ServerProblem } from '../../domain/attaching.ts'
import type { Endpoint } from '../engine.ts'
import { RAISE_WAL_SENDERS, SET_WAL_LEVEL, WAL_SENDERS_NEEDED } from './server-facts.ts'

/** `host:port`, as a person writes it. */
export function serverName({ host, port }: Pick<Endpoint, 'host' | 'port'>): string {
  return authority(host, port)
}

/** What a server's refusal means for whoever wants to attach it, and what mends it. */
export interface Refusal {
  readonly problem: ServerProblem
  /** A PostgreSQL server answered, so that asking it more can find more. */
  readonly answered: boolean
}

export function refusalOf(error: unknown, endpoint: Endpoint): Refusal {
  const late = error instanceof Error && error.name === 'TimeoutError'
  const text = late ? 'no answer in time' : describeError(error)
  const sqlState = /SQLSTATE ([0-9A-Z]{5})/.exec(text)?.[1] ?? null
  const known = sqlState === null ? null : bySqlState(sqlState, text, endpoint)
  const hint = isFault(error) ? error.hint : null
  // What TLS complains of comes with its own advice.
  const advice = known ?? hint ?? bySystem(error, text) ?? "see the server's log"
  return {
    problem: { server: serverName(endpoint), problem: text, advice },
    answered: sqlState !== null,
  }
}

/** PostgreSQL manual, "PostgreSQL Error Codes". */
function bySqlState(sqlState: string, text: string, endpoint: Endpoint): string | null {
  const role = quoteIdentifier(endpoint.user)
  if (sqlState === '28000') return admissionAdvice(text, endpoint)
  if (sqlState === '28P01') {
    return `check name and password (ALTER ROLE ${role} PASSWORD '…', or CREATE ROLE if there is none)`
  }
  if (sqlState === '3D000') return 'name a database that exists, such as postgres'
  if (sqlState === '42501' && /replication|walsender|slot/i.test(text)) {
    return `ALTER ROLE ${role} REPLICATION`
  }
  if (sqlState === '42501') return `GRANT pg_monitor TO ${role}`
  if (sqlState === '53400') {
    return 'raise max_replication_slots, and restart the server: every slot is in use'
  }
  if (sqlState === '53300') return connectionsAdvice(text, role)
  if (sqlState === '57P03' && /hot standby|not accepting/.test(text)) {
    return 'set hot_standby = on there, or wait until the server accepts connections'
  }
  if (sqlState === '57P03') return 'wait until the server accepts connections'
  if (sqlState === '55000' && text.includes('wal_level')) return SET_WAL_LEVEL
  if (sqlState === '08P01' && text.includes('startup parameter')) {
    return 'name the server itself: a connection pool in between carries no replication'
  }
  return null
}

function connectionsAdvice(text: string, role: string): string {
  if (text.includes('for role')) return `ALTER ROLE ${role} CONNECTION LIMIT -1`
  const walSenders = /max_wal_senders"? \(currently (\d+)\)/.exec(text)?.[1]
  if (walSenders === undefined) return 'raise max_connections, or free some'
  // As told of the setting itself, so that it is told once.
  if (Number(walSenders) < WAL_SENDERS_NEEDED) return RAISE_WAL_SENDERS
  return `raise max_wal_senders (${walSenders}), and restart the server: all are in use`
}

/** Why someone is not let in at all: invalid_authorization_specification has many reasons. */
function admissionAdvice(text: string, { user, database }: Endpoint): string {
  const role = quoteIdentifier(user)
  if (text.includes('pg_hba.conf')) {
    const from = /host "([^"]+)"/.exec(text)?.[1] ?? 'samehost'
    const address = from.includes(':') ? `${from}/128` : /^\d/.test(from) ? `${from}/32` : from
    const line = accessLine({
      kind: text.includes('no encryption') ? 'host' : 'hostssl',
      database: text.includes('replication connection') ? null : database,
      role: user,
      address,
    })
    const place = text.includes('rejects') ? ', before the line that rejects it' : ''
    return `add to pg_hba.conf${place}, then SELECT pg_reload_conf(): ${line}`
  }
  if (/certificate/i.test(text)) {
    return `give a client certificate whose common name is ${user} (sslcert, sslkey)`
  }
  if (text.includes('not permitted to log in')) return `ALTER ROLE ${role} LOGIN`
  if (/permission denied|REPLICATION/i.test(text)) return `ALTER ROLE ${role} REPLICATION`
  return `CREATE ROLE ${role} LOGIN REPLICATION PASSWORD '…'; GRANT pg_monitor TO ${role}`
}

function bySystem(error: unknown, text: string): string | null {
  const code = systemCode(error instanceof Error ? error.cause : null)
  if (code === 'ECONNREFUSED') return 'check host and port, and listen_addresses of the server'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return "check the host's name"
  // A session had begun, so that it was PostgreSQL.
  if (text.startsWith('cannot ask') || /lost|closed the connection/.test(text)) {
    return 'the connection broke off while it was asked: see its log, and try again'
  }
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'check the network and the firewall'
  if (code === 'ETIMEDOUT' || /no answer in time|timeout|timed out/i.test(text)) {
    return 'check host, port and the firewall in between'
  }
  if (code === 'ECONNRESET' || /SSL connection|unexpected|Connection terminated/i.test(text)) {
    return 'check the port: what answers there seems not to be PostgreSQL'
  }
  return null
}
