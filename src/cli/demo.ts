import { readEnvironment } from '../config/environment.ts'
import { runDemo } from '../demo/demo.ts'
import { readArguments, UsageError } from './arguments.ts'

/** The demonstration: everything real, in a temporary folder; 0 only if every check in it held. */
export async function demo(words: readonly string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(words, { size: 'text', keep: 'switch' })
  const size = given.text('size') ?? 'full'
  if (size !== 'small' && size !== 'full') throw new UsageError('--size small or full')
  if (given.words.length > 0) throw new UsageError(`demo takes no ${given.words[0]}`)
  const serverUser = readEnvironment()['HOLDFAST_SERVER_USER'] || null
  return runDemo({ size, keep: given.on('keep'), serverUser }, signal)
}
