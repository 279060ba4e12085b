import { openCatalogueBench } from '../app/workbench.ts'
import { parseSpan } from '../base/span.ts'
import { readArguments, UsageError } from './arguments.ts'
import { operatorLog, requireConfig } from './setup.ts'

/** `holdfast clock advance 8d`: only of a service that was made with a development clock. */
export async function clock(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, {})
  const [verb, span] = given.words
  const byMs = parseSpan(span ?? '')
  if (verb !== 'advance' || byMs === null || given.words.length !== 2) {
    throw new UsageError('clock advance <span>, such as 8d, 12h or 1d12h')
  }
  await using bench = await openCatalogueBench(requireConfig(), operatorLog(), signal)
  const offsetMs = await bench.advanceClock(byMs)
  process.stdout.write(`The development clock is ${offsetMs / 1000} s ahead.\n`)
}
