import { isLoopback } from '../base/address.ts'
import { TLS_MODES, type TlsMode } from '../base/tls-settings.ts'

/** What a connection URL says, without its password, and how the server is spoken to. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string | null
  readonly tlsMode: TlsMode | null
}

const SCHEMES = new Set(['postgresql:', 'postgres:'])

/**
 * Reads `postgresql://user[:password]@host[:port][/database][?sslmode=…]` (PostgreSQL manual,
 * "Connection URIs"). Gives every problem at once; none of them quotes the URL, which may hold a
 * password.
 */
export function readServerUrl(url: string): ServerAddress | { readonly problems: string[] } {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !SCHEMES.has(parsed.protocol)) {
    return { problems: ['it is not a URL like postgresql://user@host:5432/database'] }
  }
  const problems: string[] = []
  const host = decode(parsed.hostname.replace(/^\[(.*)\]$/, '$1'))
  if (host === '') problems.push('it names no host')
  else if (host?.includes(','))
    problems.push('it names several hosts: give one URL for each server')
  const user = decode(parsed.username)
  if (user === '') problems.push('it names no user')
  const database = decode(parsed.pathname.replace(/^\//, ''))
  const password = decode(parsed.password)
  if ([host, user, database, password].includes(null)) {
    problems.push('it is not percent-encoded UTF-8, or holds a zero byte')
  }
  const tlsMode = readOptions(parsed.searchParams, problems)
  if (problems.length > 0) return { problems }
  return {
    host: host ?? '',
    port: parsed.port === '' ? 5432 : Number(parsed.port),
    database: database || 'postgres',
    user: user ?? '',
    password: password || null,
    tlsMode,
  }
}

/** This very host, or a socket on it: nobody can listen in between. */
export function isThisHost(host: string): boolean {
  return host.startsWith('/') || isLoopback(host)
}

function readOptions(options: URLSearchParams, problems: string[]): TlsMode | null {
  let mode: TlsMode | null = null
  for (const [name, value] of options) {
    if (name !== 'sslmode') {
      problems.push(`it has the option ${name}: only sslmode is taken from a URL`)
      continue
    }
    // libpq tries plain text first for `allow`; here TLS is always tried first.
    const known = TLS_MODES.find((each) => each === (value === 'allow' ? 'prefer' : value))
    if (known === undefined) problems.push(`its sslmode is none of ${TLS_MODES.join(', ')}`)
    else mode = known
  }
  return mode
}

function decode(text: string): string | null {
  try {
    const decoded = decodeURIComponent(text)
    // No name of a server can hold a zero byte, and the catalogue cannot either.
    return decoded.includes('\0') ? null : decoded
  } catch {
    return null // Its caller says what is wrong with it.
  }
}
