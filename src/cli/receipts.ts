import { open, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { openCatalogueBench } from '../app/workbench.ts'
import { isoSeconds } from '../base/clock.ts'
import { syncDirectory } from '../base/durable-file.ts'
import { fileFault } from '../base/fault.ts'
import { createReceiptChain } from '../base/receipt-chain.ts'
import { readSealingKey } from '../config/secrets.ts'
import { readBody, type StoredReceipt } from '../domain/receipt.ts'
import { readArguments, UsageError } from './arguments.ts'
import { exportLine, verifyExport } from './receipt-export.ts'
import { operatorLog, requireConfig } from './setup.ts'

/** `holdfast receipts list|export|verify`; exit code 1 when verify finds something wrong. */
export async function receipts(words: readonly string[], signal: AbortSignal): Promise<number> {
  const [verb, ...rest] = words
  if (verb === 'list') return list(rest, signal)
  if (verb === 'export') return exportReceipts(rest, signal)
  if (verb === 'verify') return verify(rest, signal)
  throw new UsageError('receipts list, export or verify')
}

async function list(words: readonly string[], signal: AbortSignal): Promise<number> {
  const instanceId = oneInstance(readArguments(words, {}).words)
  await using bench = await openCatalogueBench(requireConfig(), operatorLog(), signal)
  for await (const receipt of bench.receipts(instanceId)) {
    signal.throwIfAborted()
    process.stdout.write(`${listLine(receipt)}\n`)
  }
  return 0
}

function listLine({ instanceId, number, kind, requestId, body }: StoredReceipt): string {
  const said = readBody(body)
  const at = said === null ? '?' : isoSeconds(said.at)
  const { user = '?', accessKeyId = null, address = null } = said?.actor ?? {}
  const who = [user, accessKeyId, address, requestId].filter((part) => part !== null).join(' ')
  const details = said === null ? 'its body is no receipt' : JSON.stringify(said.details)
  return [instanceId, number, at, kind, who, details].join('  ')
}

/** To standard output, or durably into a new private file. */
async function exportReceipts(words: readonly string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(words, { output: 'text' })
  const instanceId = oneInstance(given.words)
  const output = given.text('output')
  await using bench = await openCatalogueBench(requireConfig(), operatorLog(), signal)
  const found = bench.receipts(instanceId)
  const count =
    output === null
      ? await writeLines(found, async (line) => void process.stdout.write(line), signal)
      : await writeFile(resolve(output), found, signal)
  process.stderr.write(`${count} receipts exported\n`)
  return 0
}

async function writeFile(
  file: string,
  found: AsyncIterable<StoredReceipt>,
  signal: AbortSignal,
): Promise<number> {
  const handle = await open(file, 'wx', 0o600).catch((error: unknown) => {
    throw fileFault(error, `cannot make ${file}`)
  })
  try {
    const count = await writeLines(found, (line) => handle.appendFile(line), signal)
    await handle.sync()
    await syncDirectory(dirname(file))
    return count
  } catch (error) {
    await rm(file, { force: true })
    throw fileFault(error, `cannot write ${file}`)
  } finally {
    await handle.close()
  }
}

async function writeLines(
  found: AsyncIterable<StoredReceipt>,
  write: (line: string) => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  let count = 0
  for await (const receipt of found) {
    signal.throwIfAborted()
    await write(exportLine(receipt))
    count += 1
  }
  return count
}

async function verify(words: readonly string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(words, { file: 'text', heads: 'text' })
  const instanceId = oneInstance(given.words)
  const file = given.text('file')
  if (file !== null && (instanceId !== null || given.text('heads') !== null)) {
    throw new UsageError('receipts verify --file checks the file alone, and all of it')
  }
  const findings =
    file === null
      ? await verifyCatalogue(instanceId, given.text('heads'), signal)
      : await verifyFile(resolve(file))
  process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`)
  return findings.problemCount > 0 ? 1 : 0
}

async function verifyCatalogue(
  instanceId: string | null,
  heads: string | null,
  signal: AbortSignal,
) {
  await using bench = await openCatalogueBench(requireConfig(), operatorLog(), signal)
  const file = heads === null ? null : resolve(heads)
  // Awaited here: what is returned unawaited would go on after the bench is gone.
  return await bench.verifyReceipts(instanceId, file, signal)
}

/** Needs the key file only, not the service's data. */
async function verifyFile(file: string) {
  const chain = createReceiptChain(await readSealingKey(requireConfig().keyFile, false))
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw fileFault(error, `cannot read ${file}`)
  })
  try {
    return await verifyExport(handle.readLines(), chain)
  } catch (error) {
    throw fileFault(error, `cannot read ${file}`)
  } finally {
    await handle.close()
  }
}

function oneInstance(words: readonly string[]): string | null {
  if (words.length > 1) throw new UsageError(`receipts: ${words[1]} is one word too many`)
  return words[0] ?? null
}
