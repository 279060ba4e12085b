import { once } from 'node:events'
import { findAccountWarnings, findProblems, startService } from '../app/service.ts'
import { createLogger } from '../base/logger.ts'
import { type Config, plainListeners } from '../config/config.ts'
import { ROLES, type Role } from '../config/role.ts'
import { readArguments, UsageError } from './arguments.ts'
import { configFault, loadedConfig } from './setup.ts'

/** Runs the service until SIGINT or SIGTERM, which drain and stop everything it started. */
export async function serve(words: readonly string[], signal: AbortSignal): Promise<undefined> {
  const given = readArguments(words, {
    'development-clock': 'switch',
    'allow-plain-http': 'switch',
    role: 'text',
  })
  if (given.words.length > 0) throw new UsageError(`serve takes no ${given.words[0]}`)
  const role = readRole(given.text('role') ?? 'all')
  const developmentClock = given.on('development-clock')
  if (developmentClock && role !== 'all') {
    throw new UsageError('--development-clock needs --role all: one process moves and reads it')
  }
  const { config, warnings } = await requireFitConfig(role, given.on('allow-plain-http'))
  const log = createLogger(1)
  for (const warning of warnings) {
    log.warn('configuration', { warning })
    process.stderr.write(`Warning: ${warning}\n`)
  }
  await using service = await startService(config, { role, developmentClock }, log, signal)
  const works = `Holdfast works, without the API; its metrics: ${service.metricsUrl ?? 'nowhere'}`
  process.stderr.write(`${service.url ? `Holdfast listens on ${service.url}` : works}\n`)
  if (service.accessKeyFile) {
    process.stderr.write(`The access key is in ${service.accessKeyFile}\n`)
  }
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), service.failed])
}

function readRole(text: string): Role {
  const role = ROLES.find((each) => each === text)
  if (role === undefined) throw new UsageError(`--role is one of ${ROLES.join(', ')}`)
  return role
}

interface FitConfig {
  readonly config: Config
  readonly warnings: readonly string[]
}

/** Names every problem at once: with the values themselves, and with what they point to. */
async function requireFitConfig(role: Role, allowPlainHttp: boolean): Promise<FitConfig> {
  const loaded = loadedConfig()
  const { config } = loaded
  const problems = loaded.ok ? [] : [...loaded.problems]
  // One that could not be read has been told already.
  const unread = problems.some((problem) => problem.startsWith('HOLDFAST_DATABASE_URL'))
  if (role !== 'all' && config.database === null && !unread) problems.push(needsDatabase(role))
  problems.push(...(await findProblems(config, role)))
  const plain = plainListeners(config, role)
  if (!allowPlainHttp) problems.push(...plain.map(needsTls))
  if (problems.length > 0) throw configFault(problems)
  const accounts = await findAccountWarnings(config, role)
  return { config, warnings: [...loaded.warnings, ...plain.map(plainWarning), ...accounts] }
}

function needsDatabase(role: Role): string {
  return (
    `--role ${role} shares its catalogue with other processes: set HOLDFAST_DATABASE_URL to a ` +
    'PostgreSQL that all of them reach, or start without --role'
  )
}

function needsTls(name: string): string {
  return (
    `${name} is beyond loopback, where everything would be sent in plain text: set ` +
    'HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY, or start with --allow-plain-http'
  )
}

function plainWarning(name: string): string {
  return (
    `${name} is beyond loopback without TLS: whoever is on the way can read what is asked and ` +
    'answered, secrets included'
  )
}
