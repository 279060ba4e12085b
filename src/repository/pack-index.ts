import { Fault } from '../base/fault.ts'
import type { PackNumber } from '../series/series.ts'
import { CHUNK_INDEX_BYTES } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import type { IndexRow, PackHeader } from './pack-format.ts'
import {
  decodeIndexRow,
  decodePackFooter,
  decodePackHeader,
  footerMatches,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
} from './pack-format.ts'
import type { PackLocation } from './repository.ts'

/** A pack's header and index, checked. */
export interface PackIndex {
  readonly header: PackHeader
  readonly chunkCount: number
  /** What it takes in memory. */
  readonly weightBytes: number
  row(position: number): IndexRow
  /** Where in the object the chunk at that position starts. */
  offset(position: number): number
  /** Position of the chunk with that number, or null. */
  position(chunk: number): number | null
}

/** Most packs' indexes come with the first read. */
const TAIL_BYTES = 128 * 1024

/** Faults: 'not-found' when the object is gone, 'corrupt' or 'unfit' naming it otherwise. */
export async function readPackIndex(
  storage: Storage,
  pack: PackNumber,
  { object, objectBytes }: PackLocation,
  signal: AbortSignal,
): Promise<PackIndex> {
  if (objectBytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES) {
    throw new Fault('corrupt', `object ${object} is too short for a pack`)
  }
  const bodyBytes = objectBytes - PACK_HEADER_BYTES
  const read = async (length: number): Promise<Buffer> =>
    Buffer.from(await storage.readRange(object, objectBytes - length, length, signal))
  const [header, guess] = await Promise.all([
    storage.readRange(object, 0, PACK_HEADER_BYTES, signal).then(Buffer.from),
    read(Math.min(bodyBytes, TAIL_BYTES)),
  ])
  const facts = decodePackHeader(header, object)
  if (facts.pack !== pack) throw new Fault('corrupt', `object ${object} is not pack ${pack}`)
  const footer = guess.subarray(-PACK_FOOTER_BYTES)
  const chunkCount = decodePackFooter(footer, object)
  const tailBytes = chunkCount * CHUNK_INDEX_BYTES + PACK_FOOTER_BYTES
  if (tailBytes > bodyBytes) throw new Fault('corrupt', `pack ${object} has an impossible index`)
  const tail = tailBytes <= guess.length ? guess.subarray(-tailBytes) : await read(tailBytes)
  const index = Buffer.from(tail.subarray(0, -PACK_FOOTER_BYTES))
  if (!footerMatches(footer, header, index)) {
    throw new Fault('corrupt', `header or index of pack ${object} is damaged`)
  }
  return indexOf(facts, index, chunkCount)
}

function indexOf(header: PackHeader, index: Buffer, chunkCount: number): PackIndex {
  const offsets = new Float64Array(chunkCount)
  let end = PACK_HEADER_BYTES
  for (let position = 0; position < chunkCount; position += 1) {
    offsets[position] = end
    end += index.readUInt32LE(position * CHUNK_INDEX_BYTES + 4)
  }
  const numberAt = (position: number): number => index.readUInt32LE(position * CHUNK_INDEX_BYTES)
  return {
    header,
    chunkCount,
    weightBytes: index.length + offsets.byteLength,
    row: (position) => decodeIndexRow(index, position),
    offset: (position) => offsets[position] ?? 0,
    position(chunk) {
      let low = 0
      let high = chunkCount
      while (low < high) {
        const middle = (low + high) >>> 1
        if (numberAt(middle) < chunk) low = middle + 1
        else high = middle
      }
      return low < chunkCount && numberAt(low) === chunk ? low : null
    },
  }
}
