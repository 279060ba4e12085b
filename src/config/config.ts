import { isLoopback, type ListenAddress, type Subnet } from '../base/address.ts'
import type { DiskLow } from '../base/disk-low.ts'
import type { Pausable } from '../base/pausable.ts'
import type { Secret } from '../base/secret.ts'
import type { DatabaseUrl } from './database-url.ts'
import type { Environment } from './environment.ts'
import { givenValue, unknownNames } from './given-values.ts'
import type { Role } from './role.ts'
import type { Place, Setting } from './setting.ts'
import { SETTING_ROWS, SETTINGS } from './settings.ts'

/** Everything the service is told from outside, checked. Paths are absolute. */
export interface Config {
  readonly dataDirectory: string
  readonly storageDirectory: string
  readonly keyFile: string
  /** The PostgreSQL that holds the catalogue; null: one of the service's own, in the data folder. */
  readonly database: DatabaseUrl | null
  readonly listen: ListenAddress
  /** PEM files of the service's certificate; null: plain HTTP. */
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | null
  /** Whose word on the address of a client is believed. */
  readonly trustedProxies: readonly Subnet[]
  /** The first access key; null: made at first start and kept in the data folder. */
  readonly accessKey: { readonly id: string; readonly secret: Secret<string> } | null
  readonly region: string
  /** The user under which local instances' servers run when the service is root; null: a default. */
  readonly serverUser: string | null
  /** The same for the catalogue's server. */
  readonly catalogueUser: string | null
  /** How long a deleted set can be brought back; 0: not at all. */
  readonly undeleteWindowMs: number
  /** What the service does not begin by itself. */
  readonly paused: ReadonlySet<Pausable>
  readonly metrics: {
    readonly token: Secret<string> | null
    /** A listener for metrics alone; null: they are part of the API's. */
    readonly listen: ListenAddress | null
  }
  /** Where events are sent, and what signs them. */
  readonly notify: {
    readonly url: Secret<string>
    readonly secret: Secret<string> | null
  } | null
  /** Asked after each successful backup. */
  readonly deadManUrl: Secret<string> | null
  readonly diskLow: DiskLow
  /** Where client commands find the service; null: where it listens. */
  readonly endpoint: string | null
  /** What client commands trust besides the system's certificates. */
  readonly caCertificateFile: string | null
}

interface Read {
  readonly config: Config
  /** What is most likely a mistake, but keeps nothing from running. */
  readonly warnings: readonly string[]
}

/** `ok: false`: the configuration must not be used, only looked at for what else is wrong with it. */
export type Loaded =
  | (Read & { readonly ok: true })
  | (Read & { readonly ok: false; readonly problems: readonly string[] })

type Values = {
  readonly [Key in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[Key]['read']>
}

/**
 * Reports every problem at once. `directory` is what relative paths are relative to; `root` says
 * whether this process is root.
 */
export function loadConfig(environment: Environment, directory: string, root: boolean): Loaded {
  const problems: string[] = []
  const values = readAll(environment, directory, root, problems)
  const config = compose(values, problems)
  const unknown = unknownNames(SETTING_ROWS, environment)
  const warnings = [
    ...unknown.map((name) => `${name} is no setting of Holdfast and has no effect`),
    ...[...config.paused].map((what) => `${SETTINGS.paused.name}: automatic ${what} paused`),
  ]
  const read = { config, warnings }
  return problems.length > 0 ? { ...read, ok: false, problems } : { ...read, ok: true }
}

/** Whether others than this host's processes can reach the API, directly or through a proxy. */
export function isExposed({ listen, trustedProxies }: Config): boolean {
  return !isLoopback(listen.host) || trustedProxies.length > 0
}

/** The settings whose listener would send everything in plain text beyond this host. */
export function plainListeners({ listen, metrics, tls }: Config, role: Role): readonly string[] {
  if (tls !== null) return []
  const listeners: readonly [name: string, address: ListenAddress | null][] = [
    [SETTINGS.listen.name, role === 'worker' ? null : listen],
    [SETTINGS.metricsListen.name, metrics.listen],
  ]
  return listeners
    .filter(([, address]) => address !== null && !isLoopback(address.host))
    .map(([name]) => name)
}

function readAll(
  environment: Environment,
  directory: string,
  root: boolean,
  problems: string[],
): Values {
  const base = { directory, root, home: environment['HOME'] ?? null }
  const read = <Value>(row: Setting<Value>, place: Place): Value => {
    const text = givenValue(row, environment, directory, (problem) => problems.push(problem))
    return row.read(text, place, (problem) => problems.push(`${row.name} ${problem}`))
  }
  const { dataDirectory: dataRow, ...others } = SETTINGS
  const dataDirectory = read(dataRow, { ...base, dataDirectory: directory })
  const rows: readonly (readonly [string, Setting<unknown>])[] = Object.entries(others)
  const values = rows.map(([key, row]) => [key, read(row, { ...base, dataDirectory })] as const)
  return { dataDirectory, ...Object.fromEntries(values) } as Values
}

function compose(values: Values, problems: string[]): Config {
  const { tlsCertificateFile, tlsKeyFile, accessKeyId, accessKeySecret, ...others } = values
  const { metricsToken, metricsListen, notifyUrl, notifySecret, ...rest } = others
  requireBoth('accessKeyId', 'accessKeySecret', values, problems)
  requireBoth('tlsCertificateFile', 'tlsKeyFile', values, problems)
  if (notifySecret !== null && notifyUrl === null) {
    problems.push(`${SETTINGS.notifySecret.name} signs nothing without ${SETTINGS.notifyUrl.name}`)
  }
  if (metricsListen !== null && metricsListen.port !== 0 && same(metricsListen, values.listen)) {
    problems.push(`${SETTINGS.metricsListen.name} is the address of ${SETTINGS.listen.name}`)
  }
  return {
    ...rest,
    tls:
      tlsCertificateFile !== null && tlsKeyFile !== null
        ? { certificateFile: tlsCertificateFile, keyFile: tlsKeyFile }
        : null,
    accessKey:
      accessKeyId !== null && accessKeySecret !== null
        ? { id: accessKeyId, secret: accessKeySecret }
        : null,
    metrics: { token: metricsToken, listen: metricsListen },
    notify: notifyUrl === null ? null : { url: notifyUrl, secret: notifySecret },
  }
}

function requireBoth(
  left: keyof Values,
  right: keyof Values,
  values: Values,
  problems: string[],
): void {
  if ((values[left] === null) === (values[right] === null)) return
  problems.push(`${SETTINGS[left].name} and ${SETTINGS[right].name} must be set together`)
}

function same(left: ListenAddress, right: ListenAddress): boolean {
  return left.host === right.host && left.port === right.port
}
