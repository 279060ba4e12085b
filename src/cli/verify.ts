import { openWorkbench } from '../app/workbench.ts'
import { readArguments, UsageError } from './arguments.ts'
import { operatorLog, requireConfig } from './setup.ts'

/**
 * Compares catalogue and storage to the byte and reads every stored byte, unless told to look at
 * sizes only; exit code 1 when something is wrong. Changes nothing.
 */
export async function verify(words: readonly string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(words, { 'sizes-only': 'switch' })
  if (given.words.length > 0) throw new UsageError(`verify takes no ${given.words[0]}`)
  await using workbench = await openWorkbench(requireConfig(), operatorLog(), signal)
  const { problems, ...counts } = await workbench.verify(!given.on('sizes-only'), signal)
  process.stdout.write(`${JSON.stringify({ ...counts, problems }, null, 2)}\n`)
  return problems.length > 0 || counts.catalogueBytes !== counts.storageBytes ? 1 : 0
}
