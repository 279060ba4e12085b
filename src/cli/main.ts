import { describeError, Fault } from '../base/fault.ts'
import { UsageError } from './arguments.ts'
import { COMMANDS, USAGE } from './commands.ts'

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by a signal. */
async function main(words: readonly string[]): Promise<number> {
  const stopping = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => stopping.abort(new Fault('cancelled', `stopped by ${name}`)))
  }
  const [name = 'help', ...rest] = words
  if (name === 'help' || words.some((word) => word === '--help' || word === '-h')) {
    process.stdout.write(USAGE)
    return words.length === 0 ? 2 : 0
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  try {
    if (!load) throw new UsageError(`there is no command ${name}`)
    const command = await load()
    return (await command(rest, stopping.signal)) ?? 0
  } catch (error) {
    return report(error, stopping.signal)
  }
}

function report(error: unknown, signal: AbortSignal): number {
  if (error instanceof UsageError) {
    process.stderr.write(`holdfast: ${error.message}\n\n${USAGE}`)
    return 2
  }
  // A wait that was cut short says only that it was aborted; the signal's reason says by what.
  const told = signal.aborted && error instanceof Error && error.name === 'AbortError'
  process.stderr.write(`holdfast: ${describeError(told ? signal.reason : error)}\n`)
  if (error instanceof Fault && error.hint) process.stderr.write(`  ${error.hint}\n`)
  return signal.aborted ? 130 : 1
}

// The only place that ends the process: handles that libraries keep open must not keep it alive.
process.exit(await main(process.argv.slice(2)))
