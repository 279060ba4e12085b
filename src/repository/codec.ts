import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { HASH_BYTES } from './chunk-ref.ts'
import { CHUNK_BYTES_MAX } from './chunk-size.ts'
import type { CodecBatch } from './codec-batch.ts'
import {
  batchBytes,
  CHECK_BYTES,
  CODEC_RAW,
  CODEC_ZSTD,
  emptyBatch,
  readRow,
  writeRow,
} from './codec-batch.ts'

const PARAMETERS = { [constants.ZSTD_c_compressionLevel]: 1 }

/** Turns raw bytes into stored ones, in place; rows whose hash was known keep nothing. */
export function encodeBatch(batch: CodecBatch, keyBytes: Uint8Array): CodecBatch {
  const key = createSecretKey(keyBytes)
  let storedEnd = 0
  for (let index = 0; index < batch.count; index += 1) {
    const row = readRow(batch, index)
    const raw = batchBytes(batch, row.offset, row.rawBytes)
    const rawHash = keyedHash(raw, key)
    if (row.flagged && rawHash.equals(row.hash)) continue
    const packed = deflate(raw)
    const codec = packed.length < raw.length ? CODEC_ZSTD : CODEC_RAW
    const stored = codec === CODEC_ZSTD ? packed : raw
    const check = storedCheck(stored)
    // Never longer than the raw bytes, so what follows is not overwritten before it is read.
    batchBytes(batch, storedEnd, stored.length).set(stored)
    writeRow(batch, index, {
      offset: storedEnd,
      storedBytes: stored.length,
      rawBytes: raw.length,
      codec,
      flagged: false,
      hash: rawHash,
      check,
    })
    storedEnd += stored.length
    freeNow(packed)
  }
  batch.usedBytes = storedEnd
  return batch
}

/** A batch of the raw bytes, which replaces the given one; rows that fail their hash are flagged. */
export function decodeBatch(batch: CodecBatch, keyBytes: Uint8Array): CodecBatch {
  const key = createSecretKey(keyBytes)
  const rows = Array.from({ length: batch.count }, (_, index) => readRow(batch, index))
  const raw = emptyBatch(rows.reduce((total, row) => total + row.rawBytes, 0))
  for (const [index, row] of rows.entries()) {
    const bytes = decodeChunk(batchBytes(batch, row.offset, row.storedBytes), row, key)
    if (bytes) batchBytes(raw, raw.usedBytes, row.rawBytes).set(bytes)
    if (bytes && row.codec === CODEC_ZSTD) freeNow(bytes)
    writeRow(raw, index, { ...row, offset: raw.usedBytes, flagged: bytes === null })
    raw.usedBytes += row.rawBytes
    raw.count += 1
  }
  freeNow(new Uint8Array(batch.buffer))
  return raw
}

/** The raw bytes, or null when the stored ones do not give what length and hash say. */
export function decodeChunk(
  stored: Uint8Array,
  facts: { readonly codec: number; readonly rawBytes: number; readonly hash: Uint8Array },
  key: KeyObject,
): Uint8Array | null {
  const raw = facts.codec === CODEC_RAW ? stored : inflate(stored, facts.rawBytes)
  if (raw?.length !== facts.rawBytes || !keyedHash(raw, key).equals(facts.hash)) return null
  return raw
}

/** HMAC-SHA256, cut to 20 bytes: nobody without the repository's key can make two chunks collide. */
export function keyedHash(raw: Uint8Array, key: KeyObject): Buffer {
  return createHmac('sha256', key).update(raw).digest().subarray(0, HASH_BYTES)
}

export function storedCheck(stored: Uint8Array): Buffer {
  return hash('sha256', stored, 'buffer').subarray(0, CHECK_BYTES)
}

function deflate(raw: Uint8Array): Uint8Array {
  // One piece of output: the longest that zstd makes of a chunk, its length + 1/256 + 64 at most.
  return zstdCompressSync(raw, { params: PARAMETERS, chunkSize: raw.length + 1024 })
}

function inflate(stored: Uint8Array, rawBytes: number): Uint8Array | null {
  // One piece of output with room to see its end; of a length that is damaged, no more than a chunk.
  const chunkSize = Math.min(rawBytes, CHUNK_BYTES_MAX) + 64
  try {
    return zstdDecompressSync(stored, { maxOutputLength: rawBytes, chunkSize })
  } catch {
    // Not zstd, or longer than it may be: the caller reports the chunk by name.
    return null
  }
}

/**
 * Gives a buffer's memory back at once: a thread's garbage of buffers is otherwise collected only
 * when it has grown to 64 MiB. Buffers that Node shares among small values are left alone.
 */
function freeNow(bytes: Uint8Array): void {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength !== Buffer.poolSize) buffer.transfer(0)
}
