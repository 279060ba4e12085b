import { once } from 'node:events'
import { startService } from '../app/service.ts'
import { createLogger } from '../base/logger.ts'
import { readArguments, UsageError } from './arguments.ts'
import { requireConfig } from './setup.ts'

/** Runs the service until SIGINT or SIGTERM, which drain and stop everything it started. */
export async function serve(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, { 'development-clock': 'switch' })
  if (given.words.length > 0) throw new UsageError(`serve takes no ${given.words[0]}`)
  const config = requireConfig()
  const log = createLogger(1)
  await using service = await startService(config, given.on('development-clock'), log, signal)
  process.stderr.write(`Holdfast listens on ${service.url}\n`)
  if (service.accessKeyFile) {
    process.stderr.write(`The access key is in ${service.accessKeyFile}\n`)
  }
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), service.failed])
}
