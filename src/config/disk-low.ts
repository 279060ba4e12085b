import type { DiskLow } from '../base/disk-low.ts'

const UNIT_BYTES = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const

/** `10%`, `20GiB`, `500 MiB`, `1000000`; null when it is none. 0 of either is never reached. */
export function parseDiskLow(text: string): DiskLow | null {
  const [, share] = /^(\d{1,3}(?:\.\d{1,3})?) ?%$/.exec(text) ?? []
  if (share !== undefined) {
    return Number(share) <= 100 ? { kind: 'percent', percent: Number(share) } : null
  }
  const [, count, unit] = /^(\d{1,15}) ?((?:[KMGT]iB)?)$/.exec(text) ?? []
  if (count === undefined) return null
  const bytes = Number(count) * UNIT_BYTES[unit as keyof typeof UNIT_BYTES]
  return Number.isSafeInteger(bytes) ? { kind: 'bytes', bytes } : null
}
