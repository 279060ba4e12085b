import { readFile } from 'node:fs/promises'
import { type Instant, isoMilliseconds, parseIso } from '../base/clock.ts'
import { replaceFile } from '../base/durable-file.ts'
import { Fault, fileFault, isFault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import { HEADS_GENESIS, type ReceiptChain } from '../base/receipt-chain.ts'
import type { ChainEnd } from '../domain/receipt-check.ts'

/** The heads of all chains as they are kept outside the catalogue. */
export interface KeptHeads {
  /** Real time at which the file was begun: it proves nothing about what went before. */
  readonly began: Instant
  readonly chains: ReadonlyMap<InstanceId, ChainEnd>
}

const FORMAT = 1

interface FileFields {
  readonly format: number
  readonly began: string
  readonly chains: readonly (readonly [instanceId: string, number: number, hash: string])[]
}

/**
 * Reads a file of heads; null when there is none. A Fault `corrupt` when this service's key did not
 * write it, whole and as it is.
 */
export async function readHeadsFile(file: string, chain: ReceiptChain): Promise<KeptHeads | null> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const fault = fileFault(error, `reading ${file}`)
    if (isFault(fault, 'not-found')) return null
    throw fault
  })
  if (text === null) return null
  const [, said, mac] = /^(\{.*),"mac":"([0-9a-f]{64})"\}\n$/s.exec(text) ?? []
  if (said === undefined || mac !== chain.link(HEADS_GENESIS, `${said}}`)) {
    throw new Fault('corrupt', `${file} was not written, as it is, with the key of this service`)
  }
  const { format, began, chains } = JSON.parse(`${said}}`) as FileFields
  const beganAt = parseIso(began)
  if (format !== FORMAT || beganAt === null) {
    throw new Fault('unfit', `${file} was written by another version of this service`)
  }
  const heads = chains.map(([id, number, hash]) => [id as InstanceId, { number, hash }] as const)
  return { began: beganAt, chains: new Map(heads) }
}

/** Replaces the file durably; private (0600), though it holds no secret. */
export async function writeHeadsFile(
  file: string,
  chain: ReceiptChain,
  { began, chains }: KeptHeads,
): Promise<void> {
  const fields: FileFields = {
    format: FORMAT,
    began: isoMilliseconds(began),
    chains: [...chains].map(([instanceId, { number, hash }]) => [instanceId, number, hash]),
  }
  const said = JSON.stringify(fields)
  const mac = chain.link(HEADS_GENESIS, said)
  try {
    await replaceFile(file, `${said.slice(0, -1)},"mac":"${mac}"}\n`, 0o600, null)
  } catch (error) {
    throw fileFault(error, `writing ${file}`)
  }
}
