import { Secret } from '../base/secret.ts'
import { TLS_MODES, type TlsMode } from '../base/tls-settings.ts'

/** Where a PostgreSQL is that someone else runs, and how it is spoken to. Paths are as given. */
export interface DatabaseUrl {
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  /** Empty: none. */
  readonly password: Secret<string>
  readonly tlsMode: TlsMode
  /** Null: the root certificates that this system trusts. */
  readonly rootCertificateFile: string | null
  /** What this client proves itself by. */
  readonly client: { readonly certificateFile: string; readonly keyFile: string } | null
  /** Settings of each session, as `options` has them (`-c name=value`). */
  readonly options: string
  readonly connectTimeoutSeconds: number
}

const SCHEMES = new Set(['postgresql:', 'postgres:'])
/** What libpq calls them (PostgreSQL manual, "Parameter Key Words"). */
const KNOWN = new Set([
  ...['host', 'port', 'dbname', 'user', 'password', 'options', 'connect_timeout'],
  ...['application_name', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey'],
])
const CONNECT_TIMEOUT_SECONDS = 10

/**
 * Reads `postgresql://user[:password]@host[:port]/database[?sslmode=…]` as libpq does (PostgreSQL
 * manual, "Connection URIs"); a parameter wins over the same thing in front of it. Gives every problem
 * at once; none of them quotes a value, which may be the password.
 */
export function readDatabaseUrl(text: string): DatabaseUrl | { readonly problems: string[] } {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !SCHEMES.has(url.protocol)) {
    return { problems: ['is no URL like postgresql://user@host:5432/database'] }
  }
  const problems: string[] = []
  for (const name of new Set(url.searchParams.keys())) {
    if (!KNOWN.has(name)) problems.push(`has the parameter ${name}, which is not known here`)
  }
  const decoded = (part: string) => decode(part, problems)
  const given = (name: string, part: string) => url.searchParams.get(name) || decoded(part)
  const host = given('host', url.hostname.replace(/^\[(.*)\]$/, '$1'))
  if (host === '') problems.push('names no host')
  if (host.includes(',')) problems.push('names several hosts, of which only one could be asked')
  const user = given('user', url.username)
  if (user === '') problems.push('names no user')
  const read: DatabaseUrl = {
    host,
    port: readNumber(url.searchParams.get('port') || url.port || '5432', 'port', 65535, problems),
    database: given('dbname', url.pathname.replace(/^\//, '')) || user,
    user,
    password: new Secret(given('password', url.password)),
    ...readTls(url.searchParams, problems),
    options: url.searchParams.get('options') ?? '',
    connectTimeoutSeconds: readNumber(
      url.searchParams.get('connect_timeout') || String(CONNECT_TIMEOUT_SECONDS),
      'connect_timeout',
      3600,
      problems,
    ),
  }
  return problems.length > 0 ? { problems: [...new Set(problems)] } : read
}

type Tls = Pick<DatabaseUrl, 'tlsMode' | 'rootCertificateFile' | 'client'>

function readTls(parameters: URLSearchParams, problems: string[]): Tls {
  const given = parameters.get('sslmode') || 'prefer'
  // libpq tries plain text first for `allow`; here TLS is always tried first.
  const tlsMode = TLS_MODES.find((mode) => mode === (given === 'allow' ? 'prefer' : given))
  if (tlsMode === undefined) problems.push(`has an sslmode that is none of ${TLS_MODES.join(', ')}`)
  const root = parameters.get('sslrootcert') || 'system'
  const certificateFile = parameters.get('sslcert')
  const keyFile = parameters.get('sslkey')
  if (!certificateFile !== !keyFile) problems.push('must have sslcert and sslkey together')
  return {
    tlsMode: tlsMode ?? 'verify-full',
    rootCertificateFile: root === 'system' ? null : root,
    client: certificateFile && keyFile ? { certificateFile, keyFile } : null,
  }
}

function readNumber(text: string, name: string, most: number, problems: string[]): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) problems.push(`has a ${name} that is none of 1 to ${most}`)
  return value
}

function decode(text: string, problems: string[]): string {
  try {
    const decoded = decodeURIComponent(text)
    // No name of a server can hold a zero byte.
    if (!decoded.includes('\0')) return decoded
  } catch {
    // Told below.
  }
  problems.push('is not percent-encoded UTF-8, or holds a zero byte')
  return ''
}
