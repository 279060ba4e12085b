import { Fault } from '../base/fault.ts'
import { createLogger, type Logger } from '../base/logger.ts'
import { type Config, type Loaded, loadConfig } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'

export function loadedConfig(): Loaded {
  return loadConfig(readEnvironment(), process.cwd(), process.getuid?.() === 0)
}

/** The configuration, or a Fault that names every problem with it. */
export function requireConfig(): Config {
  const loaded = loadedConfig()
  if (loaded.ok) return loaded.config
  throw configFault(loaded.problems)
}

export function configFault(problems: readonly string[]): Fault {
  return new Fault('unfit', `the configuration is wrong:\n  ${problems.join('\n  ')}`)
}

/** Operator commands print results on stdout, so their log goes to stderr. */
export function operatorLog(): Logger {
  return createLogger(2)
}

/** `12.3 MiB`, for people. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${units[unit]}`
}

/** A line that is overwritten on a terminal; elsewhere nothing. */
export function progressLine(): { show(text: string): void; end(): void } {
  const terminal = process.stderr.isTTY === true
  let shown = false
  return {
    show: (text) => {
      if (!terminal) return
      process.stderr.write(`\r\x1b[K${text}`)
      shown = true
    },
    end: () => {
      if (shown) process.stderr.write('\n')
    },
  }
}
