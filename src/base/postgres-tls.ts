import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls'
import { Fault, systemCode } from './fault.ts'
import type { TlsSettings } from './tls-settings.ts'

/** A PostgreSQL server, as far as TLS is concerned. */
interface Peer {
  readonly host: string
  readonly tls: TlsSettings
}

/**
 * What TLS is to check, by libpq's rules (PostgreSQL manual, "SSL Support", "Client Verification of
 * Server Certificates"): `require` checks nothing unless a root certificate is given, and is then
 * `verify-ca`; `verify-ca` checks the chain, `verify-full` the host's name as well. Null: no TLS.
 */
export function tlsOptions({ host, tls }: Peer): ConnectionOptions | null {
  const { mode, rootCertificate, client } = tls
  if (mode === 'disable') return null
  const checked = mode.startsWith('verify') || (mode === 'require' && rootCertificate !== null)
  return {
    rejectUnauthorized: checked,
    secureContext: contextOf({
      ...(checked ? { ca: rootCertificate ?? trustedHere() } : {}),
      ...(client === null ? {} : { cert: client.certificate, key: client.key.reveal() }),
    }),
    checkServerIdentity: (_name, certificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  }
}

/** What Node brings, and what the administrator of this host has added. */
function trustedHere(): string[] {
  return [...getCACertificates('default'), ...getCACertificates('system')]
}

/** A certificate and a key that do not fit together are told before anyone is connected to. */
function contextOf(given: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(given)
  } catch (error) {
    throw new Fault('unfit', `the certificates cannot be used: ${(error as Error).message}`, {
      cause: error,
      hint: 'check the root certificate (sslrootcert), the client certificate (sslcert) and its key (sslkey)',
    })
  }
}

const UNTRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|CERT_SIGNATURE_FAILURE|INVALID_CA|CERT_UNTRUSTED)$/
const OUT_OF_TIME = /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/
const CLIENT_REFUSED =
  /ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|HANDSHAKE_FAILURE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN))/

/** Whether the server has answered that it speaks no TLS; the sentence is the `pg` package's. */
export function isTlsDeclined(error: unknown): boolean {
  return error instanceof Error && error.message === 'The server does not support SSL connections'
}

/** A failure of TLS as a Fault that names the setting; null when it was none. */
export function tlsFault(error: unknown, { host, tls }: Peer, where: string): Fault | null {
  const code = systemCode(error) ?? ''
  const message = error instanceof Error ? error.message : ''
  const fault = (problem: string, hint: string) =>
    new Fault('denied', `${where}: ${problem}`, { cause: error, hint })
  if (isTlsDeclined(error)) {
    return fault(
      `the server offers no TLS, and sslmode=${tls.mode} needs it`,
      'switch it on there (ssl = on, ssl_cert_file, ssl_key_file), or use sslmode=disable',
    )
  }
  if (UNTRUSTED.test(code)) {
    const root = tls.rootCertificate === null ? "this system's roots" : 'the root certificate given'
    return fault(
      `the server's certificate is not signed by ${root}`,
      'give the certificate of the authority that signed it (sslrootcert)',
    )
  }
  if (OUT_OF_TIME.test(code)) {
    return fault("the server's certificate is not valid at this time", 'renew ssl_cert_file there')
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return fault(
      `the server's certificate is for another host than ${host}`,
      'connect by a name that is in the certificate, or use sslmode=verify-ca',
    )
  }
  if (CLIENT_REFUSED.test(code)) {
    return fault(
      'the server does not take the client certificate',
      'give one that its ssl_ca_file has signed (sslcert, sslkey)',
    )
  }
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) {
    return fault(
      `TLS failed: ${message}`,
      'compare ssl_min_protocol_version, ssl_max_protocol_version and ssl_ciphers there',
    )
  }
  return null
}
