import type { PackNumber } from '../series/series.ts'
import { CHUNK_INDEX_BYTES } from '../series/series.ts'

/** Where a chunk is and what it must be: 32 bytes in maps, lists and manifests. */
export interface ChunkRef {
  readonly pack: PackNumber
  readonly chunk: number
  readonly storedBytes: number
  /** The keyed hash of the raw bytes, HASH_BYTES long. */
  readonly hash: Uint8Array
}

/** A chunk together with the length that its place gives it. */
export interface ChunkAtPlace {
  readonly ref: ChunkRef
  readonly rawBytes: number
}

export const HASH_BYTES = 20
export const REF_BYTES = 32

function writeRef(ref: ChunkRef, target: Buffer, offset: number): void {
  target.writeUInt32LE(ref.pack, offset)
  target.writeUInt32LE(ref.chunk, offset + 4)
  target.writeUInt32LE(ref.storedBytes, offset + 8)
  target.set(ref.hash, offset + 12)
}

export function encodeRefs(refs: readonly ChunkRef[]): Buffer {
  const bytes = Buffer.alloc(refs.length * REF_BYTES)
  for (const [index, ref] of refs.entries()) writeRef(ref, bytes, index * REF_BYTES)
  return bytes
}

/** The `index`-th of the references that `bytes` are made of. */
export function refAt(bytes: Uint8Array, index: number): ChunkRef {
  const view = new DataView(bytes.buffer, bytes.byteOffset + index * REF_BYTES, REF_BYTES)
  return {
    pack: view.getUint32(0, true) as PackNumber,
    chunk: view.getUint32(4, true),
    storedBytes: view.getUint32(8, true),
    hash: bytes.subarray(index * REF_BYTES + 12, (index + 1) * REF_BYTES),
  }
}

/** What the chunk costs in its pack. */
export function chunkCost(ref: ChunkRef): number {
  return ref.storedBytes + CHUNK_INDEX_BYTES
}
