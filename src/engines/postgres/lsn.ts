import { Fault } from '../../base/fault.ts'

/** A position in the write-ahead log, in bytes from its beginning. */
export type Lsn = bigint & { readonly _unit: 'bytes of write-ahead log' }

/** Reads `1A/2B3C4D5E`. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (!match) throw new Fault('unfit', `the server sent "${text}" where an LSN belongs`)
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn
}

export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase()
}

export function laterLsn(first: Lsn, second: Lsn): Lsn {
  return first > second ? first : second
}

/** The beginning of the segment that holds the byte at `lsn`. */
export function segmentStart(lsn: Lsn, segmentBytes: number): Lsn {
  return (lsn - (lsn % BigInt(segmentBytes))) as Lsn
}

/** The file name of the segment that holds the byte at `lsn`: 24 upper-case hex digits. */
export function segmentName(timeline: number, lsn: Lsn, segmentBytes: number): string {
  const number = lsn / BigInt(segmentBytes)
  const segmentsPerId = 0x100000000n / BigInt(segmentBytes)
  return [BigInt(timeline), number / segmentsPerId, number % segmentsPerId]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('')
}

/** Names of all segments that hold a byte of `[from, to)`. */
export function* segmentNames(
  timeline: number,
  from: Lsn,
  to: Lsn,
  segmentBytes: number,
): Generator<string> {
  const step = BigInt(segmentBytes)
  for (let at = segmentStart(from, segmentBytes); at < to; at = (at + step) as Lsn) {
    yield segmentName(timeline, at, segmentBytes)
  }
}

/** `00000002.history`. */
export function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`
}
