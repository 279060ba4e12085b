import { parseArgs } from 'node:util'

/** The person who typed it can mend it; the usage is printed below. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** `list`: may be given several times. */
type Flags = Readonly<Record<string, 'text' | 'switch' | 'list'>>

interface Arguments {
  readonly words: readonly string[]
  text(name: string): string | null
  required(name: string): string
  on(name: string): boolean
  list(name: string): readonly string[]
}

/** Reads `--name value`, `--name=value` and switches; an unknown one is a UsageError. */
export function readArguments(given: readonly string[], flags: Flags): Arguments {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, kind]) => [
      name,
      {
        type: kind === 'switch' ? ('boolean' as const) : ('string' as const),
        multiple: kind === 'list',
      },
    ]),
  )
  const { values, positionals } = parse(given, options)
  const text = (name: string) => {
    const value = values[name]
    return typeof value === 'string' ? value : null
  }
  return {
    words: positionals,
    text,
    required: (name) => {
      const value = text(name)
      if (value === null || value === '') throw new UsageError(`--${name} is missing`)
      return value
    },
    on: (name) => values[name] === true,
    list: (name) => {
      const value = values[name]
      return Array.isArray(value) ? value.map(String) : []
    },
  }
}

function parse(
  given: readonly string[],
  options: Record<string, { type: 'string' | 'boolean'; multiple: boolean }>,
) {
  try {
    return parseArgs({ args: [...given], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** `--Name value` pairs of any names, as `holdfast call` passes them on; each name once. */
export function readPairs(given: readonly string[]): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>()
  for (let index = 0; index < given.length; index += 1) {
    const word = given[index] ?? ''
    const match = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word)
    if (!match?.[1]) throw new UsageError(`not a parameter: ${word}`)
    const value = match[2] ?? given[++index]
    if (value === undefined) throw new UsageError(`--${match[1]} has no value`)
    if (pairs.has(match[1])) throw new UsageError(`--${match[1]} is given twice`)
    pairs.set(match[1], value)
  }
  return pairs
}
