/** A part of an object to be read. */
export interface Part {
  readonly offset: number
  readonly length: number
}

/** One read that gives several parts. */
interface CoalescedRead<Member extends Part> extends Part {
  readonly parts: readonly Member[]
}

const READ_BYTES_MAX = 4 * 1024 * 1024
/** Reading over a gap this long costs less than a read of its own. */
const GAP_BYTES_MAX = 16 * 1024

/** Sorts parts by offset and joins neighbours into reads of at most 4 MiB. */
export function coalesce<Member extends Part>(
  parts: readonly Member[],
): readonly CoalescedRead<Member>[] {
  const reads: { offset: number; length: number; parts: Member[] }[] = []
  for (const part of parts.toSorted((left, right) => left.offset - right.offset)) {
    const last = reads.at(-1)
    const end = part.offset + part.length
    if (
      last &&
      part.offset - (last.offset + last.length) <= GAP_BYTES_MAX &&
      end - last.offset <= READ_BYTES_MAX
    ) {
      last.length = Math.max(last.length, end - last.offset)
      last.parts.push(part)
    } else {
      reads.push({ offset: part.offset, length: part.length, parts: [part] })
    }
  }
  return reads
}
