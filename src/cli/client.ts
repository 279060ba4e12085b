import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { authority } from '../base/address.ts'
import { pause } from '../base/clock.ts'
import { describeError, Fault, systemCode } from '../base/fault.ts'
import type { Config } from '../config/config.ts'
import { type AccessKey, parseAccessKey } from '../config/secrets.ts'
import { type CallReply, callApi } from '../wire/client.ts'
import { requireConfig } from './setup.ts'

export interface Client {
  readonly endpoint: string
  /** One call, whatever the answer. */
  call(
    action: string,
    parameters: Readonly<Record<string, string>>,
    format?: 'JSON' | 'XML',
  ): Promise<CallReply>
  /** One call whose refusal is a Fault; gives the parsed JSON body. */
  ask(action: string, parameters: Readonly<Record<string, string>>): Promise<Reply>
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** A JSON object of the API, read loosely. */
export type Reply = Readonly<Record<string, unknown>>

/** The endpoint and the key come from the environment, else from the data folder. */
export async function openClient(endpoint: string | null, signal: AbortSignal): Promise<Client> {
  const config = requireConfig()
  const address = endpoint ?? config.endpoint
  const url = address === null ? listeningUrl(config) : withScheme(address)
  if (url.startsWith('https:')) await trustAuthorities(config.caCertificateFile)
  const key = config.accessKey ?? (await readKeyFile(join(config.dataDirectory, 'access-key.json')))
  const call: Client['call'] = (action, parameters, format = 'JSON') =>
    callApi({
      endpoint: url,
      accessKeyId: key.id,
      accessKeySecret: key.secret,
      action,
      parameters,
      format,
      signal,
    })
  return {
    endpoint: url,
    call,
    ask: async (action, parameters) => {
      const reply = await call(action, parameters)
      const body = (reply.parsed ?? {}) as Reply
      if (reply.status < 400) return body
      throw new Fault('denied', `${body['Code']}: ${body['Message']}`)
    },
  }
}

/** Asks every half second until `look` gives something; each look is one call. */
export async function pollUntil<T>(look: () => Promise<T | null>, signal: AbortSignal): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== null) return found
    await pause(500, signal)
  }
}

/** The list under `Items`, as the vendor wraps it. */
export function itemsOf(reply: Reply, name: string): readonly Reply[] {
  const items = reply['Items']
  const list = typeof items === 'object' && items !== null ? (items as Reply)[name] : null
  return Array.isArray(list) ? list : []
}

function withScheme(address: string): string {
  return /^https?:\/\//.test(address) ? address : `http://${address}`
}

/** Where the service of the same configuration listens; on all addresses includes loopback. */
function listeningUrl({ listen, tls }: Config): string {
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[listen.host] ?? listen.host
  return `${tls === null ? 'http' : 'https'}://${authority(host, listen.port)}`
}

/**
 * Trusts what the system trusts and what the file holds, besides the authorities that Node brings.
 * For the whole process, which makes calls to one service only.
 */
async function trustAuthorities(file: string | null): Promise<void> {
  const own = file === null ? [] : await readCertificates(file)
  setDefaultCACertificates([
    ...getCACertificates('default'),
    ...getCACertificates('system'),
    ...own,
  ])
}

async function readCertificates(file: string): Promise<readonly string[]> {
  try {
    const blocks = (await readFile(file, 'utf8')).match(PEM_CERTIFICATE) ?? []
    if (blocks.length === 0) throw new Error(`${file} holds no certificate in PEM form`)
    return blocks.map((block) => new X509Certificate(block).toString())
  } catch (error) {
    throw new Fault('unfit', `HOLDFAST_CA_CERT: ${describeError(error)}`, { cause: error })
  }
}

async function readKeyFile(file: string): Promise<AccessKey> {
  try {
    return parseAccessKey(await readFile(file, 'utf8'), file)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new Fault('not-found', 'there is no access key', {
      hint:
        'set HOLDFAST_ACCESS_KEY_ID and HOLDFAST_ACCESS_KEY_SECRET, ' +
        'or HOLDFAST_DATA to the folder of the service',
    })
  }
}
