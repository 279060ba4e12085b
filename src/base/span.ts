import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from './clock.ts'

const UNITS = [
  ['d', DAY_MS],
  ['h', HOUR_MS],
  ['min', MINUTE_MS],
  ['s', SECOND_MS],
] as const

/** `6 d 23 h 59 min`: cut, never rounded up, to seconds below a day and to minutes above. */
export function formatSpan(spanMs: number): string {
  if (spanMs < 0) return `-${formatSpan(-spanMs)}`
  const units = spanMs >= DAY_MS ? UNITS.slice(0, 3) : UNITS
  const parts: string[] = []
  let rest = spanMs
  for (const [name, unitMs] of units) {
    const count = Math.floor(rest / unitMs)
    rest -= count * unitMs
    if (count > 0) parts.push(`${count} ${name}`)
  }
  return parts.length > 0 ? parts.join(' ') : '0 s'
}

/** `8d`, `12h`, `30m`, `45s`, or several (`1d12h`), in milliseconds; null when it is none. */
export function parseSpan(text: string): number | null {
  if (!/^(\d+[dhms])+$/.test(text)) return null
  const sizes = { d: DAY_MS, h: HOUR_MS, m: MINUTE_MS, s: SECOND_MS }
  let total = 0
  for (const [, count, unit] of text.matchAll(/(\d+)([dhms])/g)) {
    total += Number(count) * sizes[unit as keyof typeof sizes]
  }
  return Number.isSafeInteger(total) ? total : null
}
