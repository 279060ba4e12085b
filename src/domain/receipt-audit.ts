import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { StoredReceipt } from './receipt.ts'
import { beginningOf, type ChainEnd, checkReceipt, endOf, missing } from './receipt-check.ts'

/** One thing that is wrong; null where it is about no one instance or receipt. */
export interface ReceiptProblem {
  readonly instanceId: string | null
  readonly number: number | null
  readonly problem: string
}

/** What going through receipts has shown. */
export interface ReceiptFindings {
  readonly chains: number
  readonly receipts: number
  /** The first hundred. */
  readonly problems: readonly ReceiptProblem[]
  readonly problemCount: number
}

/** Goes through receipts one by one; memory grows with the number of chains only. */
export interface ReceiptAudit {
  /** The next receipt: by number within its instance, instances in any order. */
  add(receipt: StoredReceipt): void
  note(instanceId: string | null, number: number | null, problem: string): void
  /** What the catalogue says of where chains end, after all their receipts. */
  compareHeads(heads: ReadonlyMap<string, ChainEnd>): void
  /** After all: the heads that were kept elsewhere and did not come by are missing. */
  end(): ReceiptFindings
  /** Where each chain ended so far. */
  ends(): ReadonlyMap<string, ChainEnd>
}

const PROBLEMS_LISTED_MAX = 100

/** `kept`: heads by instance that were kept elsewhere, each of which must come by as it was. */
export function openReceiptAudit(
  chain: ReceiptChain,
  kept: ReadonlyMap<string, ChainEnd>,
): ReceiptAudit {
  const problems: ReceiptProblem[] = []
  const ends = new Map<string, ChainEnd>()
  const awaited = new Map(kept)
  let problemCount = 0
  let receipts = 0
  const note: ReceiptAudit['note'] = (instanceId, number, problem) => {
    problemCount += 1
    if (problems.length < PROBLEMS_LISTED_MAX) problems.push({ instanceId, number, problem })
  }
  const endOfChain = (instanceId: string) => ends.get(instanceId) ?? beginningOf(instanceId)
  return {
    note,
    ends: () => ends,
    add: (receipt) => {
      const { instanceId, number, hash } = receipt
      for (const { problem } of checkReceipt(chain, endOfChain(instanceId), receipt)) {
        note(instanceId, number, problem)
      }
      const outside = awaited.get(instanceId)
      if (outside?.number === number) {
        awaited.delete(instanceId)
        if (outside.hash !== hash) note(instanceId, number, 'another one was kept as the head')
      }
      ends.set(instanceId, endOf(receipt))
      receipts += 1
    },
    compareHeads: (heads) => {
      for (const [instanceId, head] of heads) {
        const problem = compareEnds(head, endOfChain(instanceId))
        if (problem !== null) note(instanceId, head.number, problem)
      }
      for (const [instanceId, { number }] of ends) {
        if (!heads.has(instanceId))
          note(instanceId, number, 'the catalogue has no head of the chain')
      }
    },
    end: () => {
      for (const [instanceId, { number }] of awaited) {
        const { number: last } = endOfChain(instanceId)
        const gone = last < number ? `${missing(last + 1, number)} at the end` : 'it is missing'
        note(instanceId, number, `${gone}, though receipt ${number} was kept as the head`)
      }
      return { chains: ends.size, receipts, problems, problemCount }
    },
  }
}

function compareEnds(head: ChainEnd, end: ChainEnd): string | null {
  if (head.number > end.number) {
    return `${missing(end.number + 1, head.number)} at the end: the catalogue's head is ${head.number}`
  }
  if (head.number < end.number) {
    return `the chain goes on to ${end.number}, after the catalogue's head`
  }
  return head.hash === end.hash ? null : "the catalogue's head has another hash"
}
