import type { Secret } from './secret.ts'

/** libpq's modes (PostgreSQL manual, "SSL Support"); `allow` is taken for `prefer`. */
export const TLS_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type TlsMode = (typeof TLS_MODES)[number]

/** How a connection is encrypted and who must prove what. Certificates and keys are PEM text. */
export interface TlsSettings {
  readonly mode: TlsMode
  /** Null: the root certificates that this system trusts. */
  readonly rootCertificate: string | null
  readonly client: { readonly certificate: string; readonly key: Secret<string> } | null
}

/** For servers on this very host. */
export const NO_TLS: TlsSettings = { mode: 'disable', rootCertificate: null, client: null }
