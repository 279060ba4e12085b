import { HASH_BYTES } from './chunk-ref.ts'

/** How a chunk's stored bytes come from its raw ones; the number is part of the format. */
export type ChunkCodec = 0 | 1
export const CODEC_RAW: ChunkCodec = 0
export const CODEC_ZSTD: ChunkCodec = 1

export const BATCH_CHUNKS_MAX = 64
/** The first bytes of a chunk's SHA-256 as stored, by which a rewrite checks what it copies. */
export const CHECK_BYTES = 16

/**
 * Chunks on their way through a codec thread, in one buffer that is moved, never copied: a table of
 * one row per chunk, then the bytes. Encoding leaves the stored bytes where the raw ones were.
 */
export interface CodecBatch {
  readonly buffer: ArrayBuffer
  count: number
  usedBytes: number
}

export interface BatchRow {
  readonly offset: number
  readonly storedBytes: number
  readonly rawBytes: number
  readonly codec: ChunkCodec
  /** Encoding: equal to the hash it was given, so not stored. Decoding: not what its hash says. */
  readonly flagged: boolean
  readonly hash: Uint8Array
  readonly check: Uint8Array
}

const ROW_BYTES = 64
const TABLE_BYTES = BATCH_CHUNKS_MAX * ROW_BYTES
const HASH_AT = 16
const CHECK_AT = HASH_AT + HASH_BYTES

/** With room for so many bytes of chunks, of which there are at most BATCH_CHUNKS_MAX. */
export function emptyBatch(bytesMax: number): CodecBatch {
  return { buffer: new ArrayBuffer(TABLE_BYTES + bytesMax), count: 0, usedBytes: 0 }
}

/** The same buffer, to be filled again. */
export function clearedBatch({ buffer }: CodecBatch): CodecBatch {
  return { buffer, count: 0, usedBytes: 0 }
}

export function batchHasRoom(batch: CodecBatch, length: number): boolean {
  const room = batch.buffer.byteLength - TABLE_BYTES - batch.usedBytes
  return batch.count < BATCH_CHUNKS_MAX && length <= room
}

/** Adds raw bytes to be encoded, with the hash that makes storing them needless. */
export function addRaw(batch: CodecBatch, raw: Uint8Array, known: Uint8Array | null): void {
  const row = appendBytes(batch, raw)
  writeRow(batch, row, {
    offset: batch.usedBytes - raw.length,
    storedBytes: 0,
    rawBytes: raw.length,
    codec: CODEC_RAW,
    flagged: known !== null,
    hash: known ?? new Uint8Array(HASH_BYTES),
    check: new Uint8Array(CHECK_BYTES),
  })
}

/** Adds stored bytes to be decoded and compared with the hash of the raw ones. */
export function addStored(
  batch: CodecBatch,
  stored: Uint8Array,
  facts: Pick<BatchRow, 'rawBytes' | 'codec' | 'hash'>,
): void {
  const row = appendBytes(batch, stored)
  writeRow(batch, row, {
    ...facts,
    offset: batch.usedBytes - stored.length,
    storedBytes: stored.length,
    flagged: false,
    check: new Uint8Array(CHECK_BYTES),
  })
}

export function readRow(batch: CodecBatch, index: number): BatchRow {
  const view = new DataView(batch.buffer, index * ROW_BYTES, ROW_BYTES)
  return {
    offset: view.getUint32(0, true),
    storedBytes: view.getUint32(4, true),
    rawBytes: view.getUint32(8, true),
    codec: view.getUint8(12) === CODEC_ZSTD ? CODEC_ZSTD : CODEC_RAW,
    flagged: view.getUint8(13) === 1,
    hash: new Uint8Array(batch.buffer, index * ROW_BYTES + HASH_AT, HASH_BYTES),
    check: new Uint8Array(batch.buffer, index * ROW_BYTES + CHECK_AT, CHECK_BYTES),
  }
}

export function writeRow(batch: CodecBatch, index: number, row: BatchRow): void {
  const view = new DataView(batch.buffer, index * ROW_BYTES, ROW_BYTES)
  view.setUint32(0, row.offset, true)
  view.setUint32(4, row.storedBytes, true)
  view.setUint32(8, row.rawBytes, true)
  view.setUint8(12, row.codec)
  view.setUint8(13, row.flagged ? 1 : 0)
  const bytes = new Uint8Array(batch.buffer, index * ROW_BYTES, ROW_BYTES)
  bytes.set(row.hash, HASH_AT)
  bytes.set(row.check, CHECK_AT)
}

/** The batch's bytes at an offset that one of its rows gives. */
export function batchBytes(batch: CodecBatch, offset: number, length: number): Uint8Array {
  return new Uint8Array(batch.buffer, TABLE_BYTES + offset, length)
}

function appendBytes(batch: CodecBatch, bytes: Uint8Array): number {
  batchBytes(batch, batch.usedBytes, bytes.length).set(bytes)
  batch.usedBytes += bytes.length
  batch.count += 1
  return batch.count - 1
}
