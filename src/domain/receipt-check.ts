import { type Instant, isoMilliseconds } from '../base/clock.ts'
import { genesisOf, type ReceiptChain } from '../base/receipt-chain.ts'
import { type Receipt, readBody, type StoredReceipt } from './receipt.ts'

/** Where a chain ends, or a part of it; number 0 before the first receipt. */
export interface ChainEnd {
  readonly number: number
  readonly hash: string
}

/** What is wrong with one receipt of a chain, for people. */
export interface ChainProblem {
  readonly number: number
  readonly problem: string
}

export function beginningOf(instanceId: string): ChainEnd {
  return { number: 0, hash: genesisOf(instanceId) }
}

export function endOf({ number, hash }: StoredReceipt): ChainEnd {
  return { number, hash }
}

/**
 * Judges the receipt that is found after `before`. A problem with one receipt is told of that one
 * only: those after it are held to what is stored of it.
 */
export function checkReceipt(
  chain: ReceiptChain,
  before: ChainEnd,
  receipt: StoredReceipt,
): readonly ChainProblem[] {
  const { number, previous, hash, body } = receipt
  const found = [...checkPlace(before, receipt)]
  if (hash !== chain.link(previous, body)) {
    found.push('what it says, or its hash, was not written with the key of this service')
  }
  const said = readBody(body)
  found.push(...(said === null ? ['its body is no receipt'] : checkColumns(receipt, said)))
  return found.map((problem) => ({ number, problem }))
}

function checkPlace(before: ChainEnd, { number, previous }: StoredReceipt): readonly string[] {
  if (number <= before.number) return [`it stands after number ${before.number}`]
  if (number > before.number + 1) return [`${missing(before.number + 1, number - 1)} before it`]
  return previous === before.hash ? [] : ['it does not follow the receipt that stands before it']
}

/** `number 3 is missing`, `numbers 3 to 5 are missing`. */
export function missing(first: number, last: number): string {
  return first === last ? `number ${first} is missing` : `numbers ${first} to ${last} are missing`
}

/** What the catalogue repeats beside the body, so that it can be found, must be the same. */
function checkColumns(receipt: StoredReceipt, said: Receipt): readonly string[] {
  const pairs: readonly (readonly [name: string, shown: unknown, said: unknown])[] = [
    ['instance', receipt.instanceId, said.instanceId],
    ['number', receipt.number, said.number],
    ['event', receipt.event, said.event],
    ['kind', receipt.kind, said.kind],
    ['service time', timeOf(receipt.at), timeOf(said.at)],
    ['time', timeOf(receipt.recordedAt), timeOf(said.recordedAt)],
    ['request', receipt.requestId, said.requestId],
  ]
  return pairs
    .filter(([, shown, told]) => shown !== told)
    .map(([name, shown, told]) => `its ${name} is shown as ${shown}, but it says ${told}`)
}

/** Of ±275,760 years; somebody may have put anything there. */
const MOMENT_MS_MAX = 8.64e15

function timeOf(at: Instant): string {
  return Math.abs(at) <= MOMENT_MS_MAX ? isoMilliseconds(at) : `${at} ms`
}
