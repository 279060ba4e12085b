import { invariant } from '../base/fault.ts'

/** A metric family of a scrape. */
export interface Family {
  readonly type: string
  readonly help: string
  readonly samples: readonly Sample[]
}

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"'
const SAMPLE = new RegExp(
  `^(${NAME})(?:\\{((?:${LABEL}(?:,${LABEL})*,?)?)\\})? (NaN|[+-]Inf|[+-]?[0-9.]+(?:e[+-]?\\d+)?)$`,
)
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}

/**
 * Reads the Prometheus text format 0.0.4 strictly: each family once, with HELP and TYPE before its
 * samples, its samples together, no sample twice, the last line ended.
 */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  invariant(text.endsWith('\n'), 'the last line of a scrape is ended')
  const families = new Map<string, Family & { samples: Sample[] }>()
  const seen = new Set<string>()
  let help: readonly [name: string, text: string] | null = null
  let current: string | null = null
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      invariant(!families.has(name) && help === null, `${name} is described once`)
      help = [name, rest]
    } else if (kind === 'TYPE') {
      invariant(help?.[0] === name, `${name} has HELP before TYPE`)
      invariant(Object.hasOwn(SUFFIXES, rest), `${name} has a known type: ${rest}`)
      families.set(name, { type: rest, help: help[1], samples: [] })
      help = null
      current = name
    } else {
      const family = current === null ? undefined : families.get(current)
      invariant(family && help === null, `a sample follows its TYPE: ${line}`)
      const sample = parseSample(line)
      const names = SUFFIXES[family.type]?.map((suffix) => `${current}${suffix}`) ?? []
      invariant(names.includes(sample.name), `${sample.name} belongs to ${current}`)
      const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`
      invariant(!seen.has(key), `a sample is there once: ${line}`)
      seen.add(key)
      family.samples.push(sample)
    }
  }
  return families
}

/** The value of the one sample with these labels, or with them among others; null without one. */
export function sampleOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | null {
  const wanted = Object.entries(labels)
  const found = (families.get(name)?.samples ?? []).filter((sample) =>
    wanted.every(([label, value]) => sample.labels[label] === value),
  )
  invariant(found.length <= 1, `${name} ${JSON.stringify(labels)} is one sample`)
  return found[0]?.value ?? null
}

function parseSample(line: string): Sample {
  const match = SAMPLE.exec(line)
  invariant(match, `a line is a sample: ${line}`)
  const [, name = '', labelText = '', valueText = ''] = match
  const labels: Record<string, string> = {}
  for (const [, label = '', value = ''] of labelText.matchAll(
    /([a-zA-Z0-9_]+)="((?:\\.|[^"\\])*)"/g,
  )) {
    invariant(!Object.hasOwn(labels, label), `a label is there once: ${line}`)
    labels[label] = value.replaceAll(/\\(.)/g, (_all, sign: string) => (sign === 'n' ? '\n' : sign))
  }
  const value = Number(valueText.replace('Inf', 'Infinity'))
  invariant(valueText === 'NaN' || !Number.isNaN(value), `a value is a number: ${line}`)
  return { name, labels, value }
}
