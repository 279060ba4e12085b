import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { keyedHash } from './codec.ts'
import {
  addRaw,
  addStored,
  batchBytes,
  batchHasRoom,
  CODEC_RAW,
  CODEC_ZSTD,
  emptyBatch,
  readRow,
} from './codec-batch.ts'
import { openCodecPool } from './codec-pool.ts'

const { signal } = new AbortController()
const key = randomBytes(32)
const secret = createSecretKey(key)

/** More than the chunks of any batch here, but for a full one. */
const ROOM = 256 * 1024
const CHUNKS = [
  Buffer.alloc(16384),
  randomBytes(16384),
  Buffer.alloc(65536, 'longest '),
  randomBytes(65536),
  Buffer.from('x'),
  Buffer.alloc(0),
  Buffer.from('page '.repeat(2000)),
]

test('a codec pool gives back what it was given, packed where that is smaller', async () => {
  await using pool = openCodecPool({ threads: 2, slots: 3 })
  const batch = emptyBatch(ROOM)
  for (const chunk of CHUNKS) addRaw(batch, chunk, null)
  const encoded = await pool.encode(batch, key, signal)
  const rows = CHUNKS.map((_, index) => readRow(encoded, index))
  assert.deepEqual(
    rows.map((row) => row.codec),
    [CODEC_ZSTD, CODEC_RAW, CODEC_ZSTD, CODEC_RAW, CODEC_RAW, CODEC_RAW, CODEC_ZSTD],
  )
  const again = emptyBatch(ROOM)
  for (const row of rows) addStored(again, batchBytes(encoded, row.offset, row.storedBytes), row)
  const decoded = await pool.decode(again, key, signal)
  for (const [index, chunk] of CHUNKS.entries()) {
    const row = readRow(decoded, index)
    assert.equal(row.flagged, false)
    assert.deepEqual(Buffer.from(batchBytes(decoded, row.offset, row.rawBytes)), chunk)
  }
})

test('a codec pool stores nothing of a chunk whose hash is known', async () => {
  await using pool = openCodecPool({ threads: 1, slots: 1 })
  const batch = emptyBatch(ROOM)
  for (const chunk of CHUNKS) addRaw(batch, chunk, keyedHash(chunk, secret))
  addRaw(batch, Buffer.from('changed'), keyedHash(Buffer.from('before'), secret))
  const encoded = await pool.encode(batch, key, signal)
  for (const [index] of CHUNKS.entries()) assert.equal(readRow(encoded, index).flagged, true)
  assert.equal(readRow(encoded, CHUNKS.length).flagged, false)
  assert.equal(encoded.usedBytes, 'changed'.length)
})

test('a codec pool flags damaged bytes, whatever they do to the decompressor', async () => {
  await using pool = openCodecPool({ threads: 1, slots: 1 })
  const batch = emptyBatch(ROOM)
  const facts = { rawBytes: 5, hash: keyedHash(Buffer.from('right'), secret) }
  addStored(batch, Buffer.from('wrong'), { ...facts, codec: CODEC_RAW })
  addStored(batch, Buffer.from('not zstd'), { ...facts, codec: CODEC_ZSTD })
  addStored(batch, Buffer.from('right'), { ...facts, codec: CODEC_RAW })
  const decoded = await pool.decode(batch, key, signal)
  assert.deepEqual(
    [0, 1, 2].map((index) => readRow(decoded, index).flagged),
    [true, true, false],
  )
})

test('a codec pool reports a crashed thread and works on with a new one', async () => {
  await using pool = openCodecPool({ threads: 1, slots: 2 })
  const impossible = { ...emptyBatch(0), count: 65 }
  await assert.rejects(pool.encode(impossible, key, signal), (error) => isFault(error, 'transient'))
  const batch = emptyBatch(ROOM)
  addRaw(batch, Buffer.from('x'), null)
  assert.equal((await pool.encode(batch, key, signal)).count, 1)
})

test('a codec pool lets waiting callers leave and ends them when it closes', async () => {
  const pool = openCodecPool({ threads: 1, slots: 1 })
  const abort = new AbortController()
  const full = () => {
    const batch = emptyBatch(64 * 16384)
    while (batchHasRoom(batch, 16384)) addRaw(batch, randomBytes(16384), null)
    return batch
  }
  const running = pool.encode(full(), key, signal)
  const leaving = pool.encode(full(), key, abort.signal)
  const next = pool.encode(full(), key, signal)
  abort.abort(new Error('asked to stop'))
  await assert.rejects(leaving, /asked to stop/)
  assert.equal((await running).count, 64)
  assert.equal((await next).count, 64)
  const late = pool.encode(full(), key, signal)
  const later = pool.encode(full(), key, signal)
  const outcomes = Promise.allSettled([late, later])
  await pool[Symbol.asyncDispose]()
  for (const outcome of await outcomes) assert.equal(outcome.status, 'rejected')
})
