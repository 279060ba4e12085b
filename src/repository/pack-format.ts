import { hash } from 'node:crypto'
import { Fault, invariant } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import { CHUNK_INDEX_BYTES, PACK_FIXED_BYTES } from '../series/series.ts'
import type { ChunkCodec } from './codec-batch.ts'
import { CHECK_BYTES, CODEC_RAW, CODEC_ZSTD } from './codec-batch.ts'
import type { PackOwner } from './header.ts'
import { repositoryIdBytes, repositoryIdText } from './header.ts'

/** What a pack says of itself; with the manifests it is what a catalogue can be rebuilt from. */
export interface PackHeader extends PackOwner {
  readonly kind: PackKind
  readonly series: SeriesId
  /** The number and ID of the set that the pack was written for. */
  readonly born: SetNumber
  readonly setId: number
  readonly pack: PackNumber
  readonly generation: number
}

/** Chunks of files, or pieces of maps and lists. */
export type PackKind = 'data' | 'tree'

export interface IndexRow {
  readonly chunk: number
  readonly storedBytes: number
  readonly rawBytes: number
  readonly codec: ChunkCodec
  readonly check: Uint8Array
}

export const FORMAT_VERSION = 1
export const PACK_FOOTER_BYTES = 64
export const PACK_HEADER_BYTES = PACK_FIXED_BYTES - PACK_FOOTER_BYTES

const MAGIC = 'HFPACK\r\n'
const END_MAGIC = 'HFPACKE\n'
const KINDS: Readonly<Record<PackKind, number>> = { data: 1, tree: 2 }
const FOOTER_HASH_AT = 8
const FOOTER_MAGIC_AT = PACK_FOOTER_BYTES - END_MAGIC.length

export function encodePackHeader(header: PackHeader): Buffer {
  const bytes = Buffer.alloc(PACK_HEADER_BYTES)
  bytes.write(MAGIC, 0, 'latin1')
  bytes.writeUInt32LE(FORMAT_VERSION, 8)
  bytes.writeUInt8(KINDS[header.kind], 12)
  bytes.writeUInt8(CODEC_ZSTD, 13)
  repositoryIdBytes(header.repositoryId).copy(bytes, 16)
  bytes.writeBigUInt64LE(BigInt(header.series), 32)
  bytes.writeBigUInt64LE(BigInt(header.born), 40)
  bytes.writeBigUInt64LE(BigInt(header.setId), 48)
  bytes.writeUInt32LE(header.pack, 56)
  bytes.writeUInt32LE(header.generation, 60)
  bytes.writeUInt32LE(header.chunkBytes, 64)
  return bytes
}

/** Throws Fault 'unfit' for a newer format, 'corrupt' unless the bytes are a header. */
export function decodePackHeader(bytes: Buffer, object: string): PackHeader {
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new Fault('corrupt', `object ${object} is not a pack`)
  }
  const version = bytes.readUInt32LE(8)
  if (version > FORMAT_VERSION) throw newerFormat(object, version)
  return {
    kind: bytes.readUInt8(12) === KINDS.tree ? 'tree' : 'data',
    repositoryId: repositoryIdText(bytes.subarray(16, 32)),
    series: Number(bytes.readBigUInt64LE(32)) as SeriesId,
    born: Number(bytes.readBigUInt64LE(40)) as SetNumber,
    setId: Number(bytes.readBigUInt64LE(48)),
    pack: bytes.readUInt32LE(56) as PackNumber,
    generation: bytes.readUInt32LE(60),
    chunkBytes: bytes.readUInt32LE(64),
  }
}

export function newerFormat(object: string, version: number): Fault {
  return new Fault(
    'unfit',
    `object ${object} has format ${version}, newer than ${FORMAT_VERSION}`,
    {
      hint: 'use the version of Holdfast that wrote it, or a newer one',
    },
  )
}

export function encodeIndexRow(row: IndexRow): Buffer {
  const bytes = Buffer.alloc(CHUNK_INDEX_BYTES)
  bytes.writeUInt32LE(row.chunk, 0)
  bytes.writeUInt32LE(row.storedBytes, 4)
  bytes.writeUInt32LE(row.rawBytes, 8)
  bytes.writeUInt32LE(row.codec, 12)
  bytes.set(row.check, CHUNK_INDEX_BYTES - CHECK_BYTES)
  return bytes
}

export function decodeIndexRow(index: Buffer, position: number): IndexRow {
  const at = position * CHUNK_INDEX_BYTES
  return {
    chunk: index.readUInt32LE(at),
    storedBytes: index.readUInt32LE(at + 4),
    rawBytes: index.readUInt32LE(at + 8),
    codec: index.readUInt32LE(at + 12) === CODEC_RAW ? CODEC_RAW : CODEC_ZSTD,
    check: index.subarray(at + CHUNK_INDEX_BYTES - CHECK_BYTES, at + CHUNK_INDEX_BYTES),
  }
}

export function encodePackFooter(header: Buffer, index: Buffer): Buffer {
  invariant(index.length % CHUNK_INDEX_BYTES === 0, 'an index is made of whole rows')
  const bytes = Buffer.alloc(PACK_FOOTER_BYTES)
  bytes.writeUInt32LE(index.length / CHUNK_INDEX_BYTES, 0)
  fixedHash(header, index).copy(bytes, FOOTER_HASH_AT)
  bytes.write(END_MAGIC, FOOTER_MAGIC_AT, 'latin1')
  return bytes
}

/** The number of chunks; Fault 'corrupt' unless the bytes are a footer. */
export function decodePackFooter(bytes: Buffer, object: string): number {
  if (bytes.toString('latin1', FOOTER_MAGIC_AT) !== END_MAGIC) {
    throw new Fault('corrupt', `pack ${object} does not end as a pack`)
  }
  return bytes.readUInt32LE(0)
}

/** Whether header and index are those that the footer was written for, to the last bit. */
export function footerMatches(footer: Buffer, header: Buffer, index: Buffer): boolean {
  return footer.equals(encodePackFooter(header, index))
}

function fixedHash(header: Buffer, index: Buffer): Buffer {
  return hash('sha256', Buffer.concat([header, index]), 'buffer')
}
