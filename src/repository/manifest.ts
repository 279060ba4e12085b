import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import { Fault, invariant } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import { fieldReader, fieldWriter } from './byte-fields.ts'
import type { ChunkAtPlace } from './chunk-ref.ts'
import { encodeRefs, REF_BYTES, refAt } from './chunk-ref.ts'
import { repositoryIdBytes, repositoryIdText } from './header.ts'
import type { PackKind } from './pack-format.ts'
import { FORMAT_VERSION, newerFormat } from './pack-format.ts'

/** What a set consists of: the one object that names all others. */
export interface Manifest {
  readonly repositoryId: string
  readonly series: SeriesId
  readonly number: SetNumber
  readonly setId: number
  /** Number of the set it was written against; 0 for none. */
  readonly baseNumber: number
  readonly contentBytes: number
  readonly entryCount: number
  readonly description: Uint8Array
  /** The packs that were written for this set. */
  readonly packs: readonly ManifestPack[]
  /** The list of files, in order. */
  readonly list: readonly ListPieceAtPlace[]
}

export interface ManifestPack {
  readonly pack: PackNumber
  readonly kind: PackKind
  readonly chunkCount: number
  readonly chunkBytes: number
}

export interface ListPieceAtPlace extends ChunkAtPlace {
  readonly firstPath: string
}

const MAGIC = 'HFMANIF\n'
const HEAD_BYTES = 24
const HASH_BYTES = 32
const CIPHER_NONE = 0
/** Thousands of times what a million files need; only a damaged length exceeds it. */
const BODY_BYTES_MAX = 2 ** 30

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

export async function encodeManifest(manifest: Manifest): Promise<Buffer> {
  const body = encodeBody(manifest)
  invariant(body.length <= BODY_BYTES_MAX, 'a manifest fits into memory')
  const packed = await compress(body, { params: { [constants.ZSTD_c_compressionLevel]: 3 } })
  const head = Buffer.alloc(HEAD_BYTES)
  head.write(MAGIC, 0, 'latin1')
  head.writeUInt32LE(FORMAT_VERSION, 8)
  head.writeUInt8(CIPHER_NONE, 12)
  head.writeUInt32LE(body.length, 16)
  head.writeUInt32LE(packed.length, 20)
  const bytes = Buffer.concat([head, packed])
  return Buffer.concat([bytes, hash('sha256', bytes, 'buffer')])
}

/** Faults: 'corrupt' or 'unfit' (a newer format), naming the object. */
export async function decodeManifest(source: Uint8Array, object: string): Promise<Manifest> {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.length)
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC || bytes.length < HEAD_BYTES) {
    throw new Fault('corrupt', `object ${object} is not a manifest`)
  }
  const version = bytes.readUInt32LE(8)
  if (version > FORMAT_VERSION) throw newerFormat(object, version)
  const bodyBytes = bytes.readUInt32LE(16)
  const end = HEAD_BYTES + bytes.readUInt32LE(20)
  const written = bytes.subarray(end, end + HASH_BYTES)
  const intact = hash('sha256', bytes.subarray(0, end), 'buffer').equals(written)
  if (!intact || bytes.length !== end + HASH_BYTES || bodyBytes > BODY_BYTES_MAX) {
    throw new Fault('corrupt', `manifest ${object} is damaged`)
  }
  const body = await decompress(bytes.subarray(HEAD_BYTES, end), { maxOutputLength: bodyBytes })
  return decodeBody(body, object)
}

function encodeBody(manifest: Manifest): Buffer {
  const fields = fieldWriter()
  fields.plain(repositoryIdBytes(manifest.repositoryId))
  fields.number(manifest.series)
  fields.number(manifest.number)
  fields.number(manifest.setId)
  fields.number(manifest.baseNumber)
  fields.number(manifest.contentBytes)
  fields.number(manifest.entryCount)
  fields.bytes(manifest.description)
  fields.number(manifest.packs.length)
  for (const pack of manifest.packs) {
    fields.number(pack.pack)
    fields.number(pack.kind === 'tree' ? 2 : 1)
    fields.number(pack.chunkCount)
    fields.number(pack.chunkBytes)
  }
  fields.number(manifest.list.length)
  for (const piece of manifest.list) {
    fields.text(piece.firstPath)
    fields.number(piece.rawBytes)
    fields.plain(encodeRefs([piece.ref]))
  }
  return fields.finish()
}

function decodeBody(body: Buffer, object: string): Manifest {
  const fields = fieldReader(body, `manifest ${object}`)
  return {
    repositoryId: repositoryIdText(fields.plain(16)),
    series: fields.number() as SeriesId,
    number: fields.number() as SetNumber,
    setId: fields.number(),
    baseNumber: fields.number(),
    contentBytes: fields.number(),
    entryCount: fields.number(),
    description: fields.bytes(),
    packs: Array.from({ length: fields.number() }, () => ({
      pack: fields.number() as PackNumber,
      kind: fields.number() === 2 ? ('tree' as const) : ('data' as const),
      chunkCount: fields.number(),
      chunkBytes: fields.number(),
    })),
    list: Array.from({ length: fields.number() }, () => ({
      firstPath: fields.text(),
      rawBytes: fields.number(),
      ref: refAt(fields.plain(REF_BYTES), 0),
    })),
  }
}
