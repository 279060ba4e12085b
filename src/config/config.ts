import { isAbsolute, join, resolve } from 'node:path'
import { Secret } from '../base/secret.ts'
import type { Environment } from './environment.ts'

/** Everything the service is told from outside, checked. Paths are absolute. */
export interface Config {
  readonly dataDirectory: string
  readonly storageDirectory: string
  readonly listen: { readonly host: string; readonly port: number }
  /** The first access key; null: made at first start and kept in the data folder. */
  readonly accessKey: { readonly id: string; readonly secret: Secret<string> } | null
  readonly keyFile: string
  readonly region: string
  /** The user under which database servers run when the service is root; null: a default. */
  readonly serverUser: string | null
}

/** `ok: false`: the configuration must not be used, only looked at for what else is wrong with it. */
export type Loaded =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly config: Config; readonly problems: readonly string[] }

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

/** The data folder of root: its home is closed to the user under which database servers run. */
const ROOT_DATA = '/var/lib/holdfast'

/**
 * Reports every problem at once. `directory` is what relative paths are relative to; `root` says
 * whether this process is root.
 */
export function loadConfig(environment: Environment, directory: string, root: boolean): Loaded {
  const problems: string[] = []
  const dataDirectory = readDataDirectory(environment, directory, root)
  if (dataDirectory === null) problems.push('HOLDFAST_DATA is not set: it names the data folder')
  const listen = readListen(environment.HOLDFAST_LISTEN || '127.0.0.1:8787', problems)
  const accessKey = readAccessKey(environment, problems)
  const region = environment.HOLDFAST_REGION || 'local'
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(region)) {
    problems.push(`HOLDFAST_REGION is not a region name (a–z, 0–9, -): ${region}`)
  }
  const data = dataDirectory ?? directory
  if (dataDirectory?.includes('\n')) problems.push('HOLDFAST_DATA must not contain a line break')
  const config: Config = {
    dataDirectory: data,
    storageDirectory: pathOr(environment.HOLDFAST_STORAGE, join(data, 'storage'), directory),
    listen,
    accessKey,
    keyFile: pathOr(environment.HOLDFAST_KEY_FILE, join(data, 'key'), directory),
    region,
    serverUser: environment.HOLDFAST_SERVER_USER || null,
  }
  return problems.length > 0 ? { ok: false, config, problems } : { ok: true, config }
}

function readDataDirectory(
  environment: Environment,
  directory: string,
  root: boolean,
): string | null {
  if (environment.HOLDFAST_DATA) return resolve(directory, environment.HOLDFAST_DATA)
  if (root) return ROOT_DATA
  const home = environment.HOME
  return home && isAbsolute(home) ? join(home, '.holdfast') : null
}

function readListen(text: string, problems: string[]): Config['listen'] {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3])
  if (!match || host === '' || port > 65535) {
    problems.push(`HOLDFAST_LISTEN is not host:port: ${text}`)
    return { host: '127.0.0.1', port: 0 }
  }
  if (!LOOPBACK.has(host) && !/^127\.\d+\.\d+\.\d+$/.test(host)) {
    problems.push(
      `HOLDFAST_LISTEN is beyond loopback (${host}): refused, because there is no TLS yet`,
    )
  }
  return { host, port }
}

function readAccessKey(environment: Environment, problems: string[]): Config['accessKey'] {
  const id = environment.HOLDFAST_ACCESS_KEY_ID
  const secret = environment.HOLDFAST_ACCESS_KEY_SECRET
  if (!id && !secret) return null
  if (!id || !secret) {
    problems.push('HOLDFAST_ACCESS_KEY_ID and HOLDFAST_ACCESS_KEY_SECRET must be set together')
    return null
  }
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(id)) {
    problems.push('HOLDFAST_ACCESS_KEY_ID must be 1–64 letters, digits, dots, dashes, underscores')
  }
  if (secret.length < 8) problems.push('HOLDFAST_ACCESS_KEY_SECRET is shorter than 8 characters')
  return { id, secret: new Secret(secret) }
}

function pathOr(text: string | undefined, otherwise: string, directory: string): string {
  return text ? resolve(directory, text) : otherwise
}
