import { once } from 'node:events'
import { findProblems, startService } from '../app/service.ts'
import { createLogger } from '../base/logger.ts'
import type { Config } from '../config/config.ts'
import { readArguments, UsageError } from './arguments.ts'
import { configFault, loadedConfig } from './setup.ts'

/** Runs the service until SIGINT or SIGTERM, which drain and stop everything it started. */
export async function serve(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, { 'development-clock': 'switch' })
  if (given.words.length > 0) throw new UsageError(`serve takes no ${given.words[0]}`)
  const config = await requireFitConfig()
  const log = createLogger(1)
  await using service = await startService(config, given.on('development-clock'), log, signal)
  process.stderr.write(`Holdfast listens on ${service.url}\n`)
  if (service.accessKeyFile) {
    process.stderr.write(`The access key is in ${service.accessKeyFile}\n`)
  }
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), service.failed])
}

/** Names every problem at once: with the values themselves, and with what they point to. */
async function requireFitConfig(): Promise<Config> {
  const loaded = loadedConfig()
  const problems = loaded.ok ? [] : [...loaded.problems]
  problems.push(...(await findProblems(loaded.config)))
  if (problems.length > 0) throw configFault(problems)
  return loaded.config
}
