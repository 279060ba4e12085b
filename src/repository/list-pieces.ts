import { hash } from 'node:crypto'
import type { ListEntry } from './list-entry.ts'
import { encodeListEntry } from './list-entry.ts'

interface ListPiece {
  /** The piece's place: two pieces of two sets are at the same place when it is the same. */
  readonly firstPath: string
  readonly bytes: Uint8Array
}

/** A piece ends after a path whose hash has six low zero bits: every 64 entries on average. */
const CUT_MASK = 0x3f

/**
 * Cuts a sorted list where its content says, so that an added entry changes one piece and moves no
 * other. No piece is longer than `chunkBytes`, but for one of a single entry that is.
 */
export async function* cutList(
  entries: AsyncIterable<ListEntry>,
  chunkBytes: number,
): AsyncIterable<ListPiece> {
  let firstPath = ''
  let parts: Uint8Array[] = []
  let length = 0
  for await (const entry of entries) {
    const bytes = encodeListEntry(entry)
    if (length > 0 && length + bytes.length > chunkBytes) {
      yield { firstPath, bytes: Buffer.concat(parts) }
      parts = []
      length = 0
    }
    if (length === 0) firstPath = entry.path
    parts.push(bytes)
    length += bytes.length
    if (endsPiece(entry.path)) {
      yield { firstPath, bytes: Buffer.concat(parts) }
      parts = []
      length = 0
    }
  }
  if (length > 0) yield { firstPath, bytes: Buffer.concat(parts) }
}

function endsPiece(path: string): boolean {
  const [first = 0] = hash('sha256', path, 'buffer')
  return (first & CUT_MASK) === 0
}
