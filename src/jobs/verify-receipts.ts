import { isoMilliseconds } from '../base/clock.ts'
import { describeError, Fault, isFault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { alarmsOf, endAlarms, recordEvent } from '../catalogue/events.ts'
import { readInstances } from '../catalogue/instances.ts'
import { listHeads, nextReceipts, type ReceiptPlace } from '../catalogue/receipts.ts'
import type { StoredReceipt } from '../domain/receipt.ts'
import {
  openReceiptAudit,
  type ReceiptAudit,
  type ReceiptFindings,
  type ReceiptProblem,
} from '../domain/receipt-audit.ts'
import { isRaisedBy, type KeptHeads, keeperOf, readHeadsFile } from './receipt-heads-file.ts'

/** What looking at the catalogue's chains of receipts has shown. */
export interface ReceiptVerification extends ReceiptFindings {
  /** The heads kept outside the catalogue that were compared; null: no such file could be used. */
  readonly heads: { readonly chains: number; readonly began: string } | null
  /** What could not be compared here though nothing is wrong. */
  readonly note: string | null
}

/** `own`: the file of this data folder. `given`: a copy, or that of another folder. */
export type HeadsFrom = 'own' | 'given'

interface Needs {
  readonly catalogue: Catalogue
  readonly receipts: ReceiptChain
  readonly receiptHeadsFile: string
  readonly headsFrom: HeadsFrom
}

/**
 * Checks the chain of one instance, or of all (null), receipt by receipt, against the key, the
 * catalogue's own heads, and those that are kept outside it. The file is read first: what is appended
 * meanwhile only makes the chains longer. A data folder in which no process ever kept heads has none to
 * compare: that is a note. A file that is named, or was kept, and is missing is a problem. A Fault
 * `not-found` for an instance that never was.
 */
export async function verifyReceipts(
  { catalogue, receipts, receiptHeadsFile: file, headsFrom }: Needs,
  instanceId: InstanceId | null,
  signal: AbortSignal,
): Promise<ReceiptVerification> {
  const outside = await readOutside(file, receipts)
  const kept = typeof outside === 'string' ? null : outside
  const audit = openReceiptAudit(receipts, headsOf(kept, instanceId))
  if (typeof outside === 'string') audit.note(null, null, outside)
  const count = await catalogue.snapshot(async (tx) => {
    await addReceipts(tx, audit, instanceId, signal)
    return compareHeads(tx, audit, instanceId)
  })
  const never = headsFrom === 'own' && outside === null && (await keeperOf(file)) === null
  if (outside === null && !never && (headsFrom === 'given' || count > 0)) {
    audit.note(null, null, `${file} is missing, where the heads are kept outside the catalogue`)
  }
  const heads = kept && { chains: kept.chains.size, began: isoMilliseconds(kept.began) }
  const found = audit.end()
  if (instanceId !== null && found.receipts === 0 && found.problemCount === 0) {
    await requireInstance(catalogue, instanceId)
  }
  return { heads, note: never ? NO_HEADS : null, ...found }
}

/** Nothing is wrong with no receipts: but whoever misspelt the instance must not be told so. */
export async function requireInstance(catalogue: Catalogue, instanceId: InstanceId): Promise<void> {
  const found = await catalogue.snapshot((tx) => readInstances(tx, [instanceId]))
  if (found.size > 0) return
  throw new Fault('not-found', `there is no instance ${instanceId}, nor receipts of one`)
}

const NO_HEADS =
  'no process with workers has kept heads in this data folder: an end that was cut off is found where ' +
  'one does, or with --heads and a copy of its file'

/**
 * Tells of what a verification found, every time; not of a file that was only given. One of all chains
 * against this folder's own heads that found nothing ends the alarms that this folder raised: others saw
 * something in files that were not read here.
 */
export async function tellReceiptFindings(
  { catalogue, receiptHeadsFile: file, headsFrom }: Omit<Needs, 'receipts'>,
  { problems, problemCount, chains, receipts, heads }: ReceiptVerification,
  instanceId: InstanceId | null,
): Promise<void> {
  const first = problems.find((problem) => headsFrom === 'own' || problem.instanceId !== null)
  const keeper = headsFrom === 'own' && heads !== null ? await keeperOf(file) : null
  await catalogue.transaction(async (tx) => {
    if (first !== undefined) {
      const details = { problem: describeProblem(first), count: problemCount }
      const about = first.instanceId as InstanceId | null
      await recordEvent(tx, { kind: 'receipts-broken', instanceId: about, details })
    } else if (problemCount === 0 && instanceId === null && keeper !== null) {
      const raised = await alarmsOf(tx, 'receipts-broken')
      const own = raised.filter((subject) => isRaisedBy(subject, keeper))
      const ended = { kind: 'receipts-broken-ended', instanceId: null } as const
      await endAlarms(tx, 'receipts-broken', own, { ...ended, details: { chains, receipts } })
    }
  })
}

function describeProblem({ number, problem }: ReceiptProblem): string {
  return number === null ? problem : `receipt ${number}: ${problem}`
}

/** The file; null when there is none; a text that says why it cannot be used. */
async function readOutside(file: string, chain: ReceiptChain): Promise<KeptHeads | string | null> {
  try {
    return await readHeadsFile(file, chain)
  } catch (error) {
    if (isFault(error, 'corrupt', 'unfit')) return describeError(error)
    throw error
  }
}

function headsOf(kept: KeptHeads | null, instanceId: InstanceId | null): KeptHeads['chains'] {
  const chains = [...(kept?.chains ?? [])]
  return new Map(chains.filter(([id]) => instanceId === null || id === instanceId))
}

async function addReceipts(
  tx: Transaction,
  audit: ReceiptAudit,
  instanceId: InstanceId | null,
  signal: AbortSignal,
): Promise<void> {
  let after: ReceiptPlace | null = null
  for (;;) {
    signal.throwIfAborted()
    const page: readonly StoredReceipt[] = await nextReceipts(tx, instanceId, after)
    for (const receipt of page) audit.add(receipt)
    after = page.at(-1) ?? null
    if (after === null) return
  }
}

/** How many heads the catalogue has. */
async function compareHeads(
  tx: Transaction,
  audit: ReceiptAudit,
  instanceId: InstanceId | null,
): Promise<number> {
  const heads = await listHeads(tx, instanceId)
  audit.compareHeads(new Map(heads.map((head) => [head.instanceId, head])))
  return heads.length
}
