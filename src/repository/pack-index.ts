import { Fault } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { PackNumber } from '../series/series.ts'
import { CHUNK_INDEX_BYTES } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import type { PackOwner } from './header.ts'
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

/** The pack that is wanted, and the object that must be it. */
export interface PackPlace {
  readonly owner: PackOwner
  readonly series: SeriesId
  readonly pack: PackNumber
  readonly location: PackLocation
}

/** What a header must say as its place does. */
const WANTED_FIELDS = [
  'repositoryId',
  'series',
  'pack',
  'born',
  'generation',
  'chunkBytes',
] as const
/** Most packs' indexes come with the first read. */
const TAIL_BYTES = 128 * 1024

/** Faults: 'not-found' when the object is gone, 'corrupt' or 'unfit' naming it otherwise. */
export async function readPackIndex(
  storage: Storage,
  place: PackPlace,
  signal: AbortSignal,
): Promise<PackIndex> {
  const { object, objectBytes } = place.location
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
  const footer = guess.subarray(-PACK_FOOTER_BYTES)
  const chunkCount = decodePackFooter(footer, object)
  const tailBytes = chunkCount * CHUNK_INDEX_BYTES + PACK_FOOTER_BYTES
  if (tailBytes > bodyBytes) throw new Fault('corrupt', `pack ${object} has an impossible index`)
  const tail = tailBytes <= guess.length ? guess.subarray(-tailBytes) : await read(tailBytes)
  const index = Buffer.from(tail.subarray(0, -PACK_FOOTER_BYTES))
  if (!footerMatches(footer, header, index)) {
    throw new Fault('corrupt', `header or index of pack ${object} is damaged`)
  }
  assertWanted(facts, place)
  const offsets = chunkOffsets(index, chunkCount)
  if (offsets[chunkCount] !== objectBytes - tailBytes) {
    throw new Fault('corrupt', `the chunks of pack ${object} do not make its length`)
  }
  return indexOf(facts, index, chunkCount, offsets)
}

/** The storage may hold a sound pack under another one's name: copied there, or of another service. */
function assertWanted(header: PackHeader, { owner, series, pack, location }: PackPlace): void {
  const { object, born, generation } = location
  const { repositoryId, chunkBytes } = owner
  const wanted = { repositoryId, series, pack, born, generation, chunkBytes }
  for (const field of WANTED_FIELDS) {
    if (header[field] === wanted[field]) continue
    const found = `has ${field} ${header[field]} instead of ${wanted[field]}`
    throw new Fault('corrupt', `object ${object} is another pack: its header ${found}`)
  }
}

/** Where in the object each chunk starts, and at last where they end. */
function chunkOffsets(index: Buffer, chunkCount: number): Float64Array {
  const offsets = new Float64Array(chunkCount + 1)
  let end = PACK_HEADER_BYTES
  for (let position = 0; position < chunkCount; position += 1) {
    offsets[position] = end
    end += index.readUInt32LE(position * CHUNK_INDEX_BYTES + 4)
  }
  offsets[chunkCount] = end
  return offsets
}

function indexOf(
  header: PackHeader,
  index: Buffer,
  chunkCount: number,
  offsets: Float64Array,
): PackIndex {
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
