import { describeError, isFault, systemCode } from '../../base/fault.ts'
import { accessLines, quoteIdentifier } from '../../domain/access.ts'
import type { Endpoint, Problem } from '../engine.ts'

/** `host:port`, as a person writes it. */
export function serverName({ host, port }: Pick<Endpoint, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** What a server's refusal means for whoever wants to attach it, and what mends it. */
export function adviceFor(error: unknown, endpoint: Endpoint): Problem {
  return problemOf(error, endpoint).problem
}

/** `access`: pg_hba.conf let nobody in, so nothing else about the server is known yet. */
export function problemOf(
  error: unknown,
  endpoint: Endpoint,
): { readonly problem: Problem; readonly access: boolean } {
  const text = describeError(error)
  const sqlState = /SQLSTATE ([0-9A-Z]{5})/.exec(text)?.[1] ?? null
  const fault = isFault(error) ? error : null
  const known = bySqlState(sqlState, text, endpoint) ?? bySystem(error, text)
  const advice = known ?? fault?.hint ?? "see the server's log"
  return {
    problem: { server: serverName(endpoint), problem: text, advice },
    access: sqlState === '28000' && text.includes('pg_hba.conf'),
  }
}

/** PostgreSQL manual, "PostgreSQL Error Codes". */
function bySqlState(sqlState: string | null, text: string, endpoint: Endpoint): string | null {
  const role = quoteIdentifier(endpoint.user)
  if (sqlState === '28000' && text.includes('pg_hba.conf')) {
    const from = /host "([^"]+)"/.exec(text)?.[1] ?? 'samehost'
    const address = from.includes(':') ? `${from}/128` : /^\d/.test(from) ? `${from}/32` : from
    const lines = accessLines(endpoint.user, address)
    const line = text.includes('replication connection') ? lines[1] : lines[0]
    return `add to pg_hba.conf, then SELECT pg_reload_conf(): ${line}`
  }
  if (sqlState === '28000') return `CREATE ROLE ${role} LOGIN REPLICATION PASSWORD '…'`
  if (sqlState === '28P01') return `check the password of ${role} (ALTER ROLE ${role} PASSWORD '…')`
  if (sqlState === '3D000') return 'name a database that exists, such as postgres'
  if (sqlState === '42501' && /replication|walsender|slot/i.test(text)) {
    return `ALTER ROLE ${role} REPLICATION`
  }
  if (sqlState === '42501') return `GRANT pg_monitor TO ${role}`
  if (sqlState === '53400') return 'raise max_replication_slots: every slot is in use'
  if (sqlState === '53300' && /max_wal_senders|standby connections/.test(text)) {
    return 'raise max_wal_senders: a backup needs two'
  }
  if (sqlState === '53300') return 'raise max_connections, or free some'
  if (sqlState === '57P03' && /hot standby|not accepting/.test(text)) {
    return 'set hot_standby = on there, or wait until the server accepts connections'
  }
  if (sqlState === '57P03') return 'wait until the server accepts connections'
  if (sqlState === '55000' && text.includes('wal_level'))
    return 'set wal_level = replica, and restart'
  return null
}

function bySystem(error: unknown, text: string): string | null {
  const code = systemCode(error instanceof Error ? error.cause : null)
  if (code === 'ECONNREFUSED') return 'check host and port, and listen_addresses of the server'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return "check the host's name"
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'check the network and the firewall'
  if (/timeout|timed out/i.test(text)) return 'check host, port and the firewall in between'
  if (/SSL connection|unexpected|Connection terminated/i.test(text)) {
    return 'check the port: what answers there seems not to be PostgreSQL'
  }
  return null
}
