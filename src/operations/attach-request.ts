import { X509Certificate } from 'node:crypto'
import type { TlsMode } from '../base/tls-settings.ts'
import type { ServerProblem } from '../domain/attaching.ts'
import { isThisHost, readServerUrl, type ServerAddress } from './server-address.ts'

/** What AttachDBInstance is given of the servers. */
export interface AttachInput {
  readonly PrimaryUrl: string
  readonly StandbyUrls?: string | undefined
  readonly Password?: string | undefined
  readonly SslRootCert?: string | undefined
  readonly SslCert?: string | undefined
  readonly SslKey?: string | undefined
  readonly AllowPlainText?: boolean | undefined
}

export interface ServerToAttach extends ServerAddress {
  readonly role: 'primary' | 'standby'
  readonly password: string
  readonly tlsMode: TlsMode
}

/** Each is asked every ten seconds. */
const STANDBYS_MAX = 16

/** Every server of the request, or everything that is wrong with it. */
export function readServers(
  input: AttachInput,
): readonly ServerToAttach[] | { readonly problems: readonly ServerProblem[] } {
  const standbys = (input.StandbyUrls ?? '').split(/\s+/).filter((url) => url !== '')
  const problems: ServerProblem[] = certificateProblems(input)
  if (standbys.length > STANDBYS_MAX) {
    const problem = `${standbys.length} standbys are named`
    return {
      problems: [{ server: 'StandbyUrls', problem, advice: `name at most ${STANDBYS_MAX}` }],
    }
  }
  const servers: ServerToAttach[] = []
  for (const [index, url] of [input.PrimaryUrl, ...standbys].entries()) {
    const role = index === 0 ? 'primary' : 'standby'
    const read = readServerUrl(url)
    if ('problems' in read) {
      const name = role === 'primary' ? 'PrimaryUrl' : `StandbyUrls, number ${index}`
      for (const problem of read.problems) {
        problems.push({ server: name, problem, advice: 'correct the URL' })
      }
      continue
    }
    const server = complete(read, role, input)
    const weak = plainTextProblem(server, input.AllowPlainText ?? false)
    if (weak) problems.push(weak)
    servers.push(server)
  }
  return problems.length > 0 ? { problems } : servers
}

/** On this host TLS is taken where it is offered; beyond, it must be there. */
function complete(
  address: ServerAddress,
  role: ServerToAttach['role'],
  { Password, SslRootCert }: AttachInput,
): ServerToAttach {
  const { host, password } = address
  const beyond = SslRootCert === undefined ? 'require' : 'verify-full'
  const tlsMode = address.tlsMode ?? (isThisHost(host) ? 'prefer' : beyond)
  return { ...address, role, tlsMode, password: password ?? Password ?? '' }
}

function plainTextProblem(
  { host, port, tlsMode }: ServerToAttach,
  allowed: boolean,
): ServerProblem | null {
  if (allowed || isThisHost(host) || !['disable', 'prefer'].includes(tlsMode)) return null
  return {
    server: `${host}:${port}`,
    problem: `sslmode=${tlsMode} lets password and data go over the network in plain text`,
    advice: 'use sslmode=verify-full (or require), or ask for plain text (AllowPlainText)',
  }
}

function certificateProblems(input: AttachInput): ServerProblem[] {
  const problems: ServerProblem[] = []
  const complain = (problem: string, advice: string) =>
    problems.push({ server: 'certificates', problem, advice })
  for (const name of ['SslRootCert', 'SslCert'] as const) {
    const text = input[name]
    if (text !== undefined && !isCertificate(text)) {
      complain(`${name} holds no certificate`, 'give a certificate in PEM form')
    }
  }
  if ((input.SslCert === undefined) !== (input.SslKey === undefined)) {
    complain('a client certificate needs its key, and a key its certificate', 'give both or none')
  }
  if (input.SslKey !== undefined && !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(input.SslKey)) {
    complain('SslKey holds no private key', 'give an unencrypted private key in PEM form')
  }
  return problems
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).subject.length >= 0
  } catch {
    return false // What cannot be read is none.
  }
}
