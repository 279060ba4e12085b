import { open, readFile } from 'node:fs/promises'
import { type Instant, isoMilliseconds, parseIso } from '../base/clock.ts'
import { replaceFile } from '../base/durable-file.ts'
import { Fault, fileFault, isFault } from '../base/fault.ts'
import { type InstanceId, randomName } from '../base/ids.ts'
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
  const text = await readText(file)
  return text === null ? null : parseHeads(file, text, chain)
}

async function readText(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch((error: unknown) => {
    const fault = fileFault(error, `reading ${file}`)
    if (isFault(fault, 'not-found')) return null
    // A disk that cannot be read is no file that somebody changed.
    if (isFault(fault, 'corrupt')) throw new Fault('transient', fault.message, { cause: error })
    throw fault
  })
}

function parseHeads(file: string, text: string, chain: ReceiptChain): KeptHeads {
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
  heads: KeptHeads,
): Promise<void> {
  await replaceText(file, textOf(heads, chain))
}

function textOf({ began, chains }: KeptHeads, chain: ReceiptChain): string {
  const fields: FileFields = {
    format: FORMAT,
    began: isoMilliseconds(began),
    chains: [...chains].map(([instanceId, { number, hash }]) => [instanceId, number, hash]),
  }
  const said = JSON.stringify(fields)
  return `${said.slice(0, -1)},"mac":"${chain.link(HEADS_GENESIS, said)}"}\n`
}

async function replaceText(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text, 0o600, null)
  } catch (error) {
    throw fileFault(error, `writing ${file}`)
  }
}

/**
 * The file as the one process that keeps it knows it: it holds what that process read or wrote last,
 * or somebody else had it in hand.
 */
export class HeldHeads {
  readonly file: string
  readonly #chain: ReceiptChain
  /** After a write that failed the file is the old or the new one. */
  #known: readonly string[] = []

  constructor(file: string, chain: ReceiptChain) {
    this.file = file
    this.#chain = chain
  }

  /** Goes on with the file that is there, as `readHeadsFile` reads it. */
  async read(): Promise<KeptHeads | null> {
    const text = await readText(this.file)
    if (text === null) return null
    const heads = parseHeads(this.file, text, this.#chain)
    this.#known = [text]
    return heads
  }

  /** False when the file was taken away. A Fault `corrupt` when it is not as it was left. */
  async isThere(): Promise<boolean> {
    const text = await readText(this.file)
    if (text === null) return false
    if (!this.#known.includes(text)) {
      throw new Fault('corrupt', `${this.file} was changed while the service kept it`)
    }
    this.#known = [text]
    return true
  }

  /** Replaces the file durably, whatever is there: ask `isThere` first. */
  async write(heads: KeptHeads): Promise<void> {
    const text = textOf(heads, this.#chain)
    this.#known = [...this.#known, text]
    await replaceText(this.file, text)
    this.#known = [text]
  }
}

/** Of several processes with one data folder the one that holds this lock keeps the file. */
export function headsLockOf(file: string): string {
  return `${file}.lock`
}

/**
 * Under which name this data folder raises alarms about receipts; made at the first time, by whoever
 * holds the lock. It lies in the lock file: that stays when the file of heads is moved away.
 */
export async function nameKeeper(file: string): Promise<string> {
  const known = await keeperOf(file)
  if (known !== null && known !== '') return known
  const name = randomName(16)
  const handle = await open(headsLockOf(file), 'r+').catch((error: unknown) => {
    throw fileFault(error, `writing ${headsLockOf(file)}`)
  })
  try {
    await handle.writeFile(`${name}\n`)
    await handle.sync()
  } catch (error) {
    throw fileFault(error, `writing ${headsLockOf(file)}`)
  } finally {
    await handle.close()
  }
  return name
}

/** The same name, where it is known; null where no process ever kept heads. */
export async function keeperOf(file: string): Promise<string | null> {
  const text = await readText(headsLockOf(file))
  return text === null ? null : text.trim()
}

/** What an alarm is about: an instance or the file of heads, as one data folder sees it. */
export function alarmSubject(about: string, keeper: string): string {
  return `${about} ${keeper}`
}

export function isRaisedBy(subject: string, keeper: string): boolean {
  return keeper !== '' && subject.endsWith(` ${keeper}`)
}
