import type { ReceiptChain } from '../base/receipt-chain.ts'
import { readBody, type StoredReceipt } from '../domain/receipt.ts'
import { openReceiptAudit, type ReceiptFindings } from '../domain/receipt-audit.ts'

/** One receipt as a line of an export; the body says all else. docs/formats/receipts.md. */
export function exportLine({ previous, hash, body }: StoredReceipt): string {
  return `${JSON.stringify({ previous, hash, body })}\n`
}

/** What an export has shown, and where its chains end: to be compared with an older copy of it. */
export interface ExportFindings extends ReceiptFindings {
  readonly ends: readonly {
    readonly instanceId: string
    readonly number: number
    readonly hash: string
  }[]
}

/** Checks exported chains line by line: each one whole from its first receipt on. */
export async function verifyExport(
  lines: AsyncIterable<string>,
  chain: ReceiptChain,
): Promise<ExportFindings> {
  const audit = openReceiptAudit(chain, new Map())
  let count = 0
  for await (const line of lines) {
    count += 1
    const receipt = readLine(line)
    if (receipt === null) audit.note(null, null, `line ${count} is no receipt`)
    else audit.add(receipt)
  }
  if (count === 0) audit.note(null, null, 'the file is empty: it proves nothing')
  const ends = [...audit.ends()].map(([instanceId, { number, hash }]) => ({
    instanceId,
    number,
    hash,
  }))
  return { ...audit.end(), ends }
}

function readLine(line: string): StoredReceipt | null {
  const { previous, hash, body } = parseFields(line)
  if (typeof previous !== 'string' || typeof hash !== 'string' || typeof body !== 'string') {
    return null
  }
  const said = readBody(body)
  return said && { ...said, previous, hash, body }
}

function parseFields(line: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(line))
  } catch {
    // Not JSON: it has none of the fields.
    return {}
  }
}
