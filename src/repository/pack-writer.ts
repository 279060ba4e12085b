import { Fault, invariant } from '../base/fault.ts'
import { packObjectName } from '../series/object-names.ts'
import type { NewSet, PackFacts } from '../series/series.ts'
import { CHUNK_INDEX_BYTES, PACK_FIXED_BYTES } from '../series/series.ts'
import { createBlockPipe } from './block-pipe.ts'
import type { IndexRow, PackHeader } from './pack-format.ts'
import { encodeIndexRow, encodePackFooter, encodePackHeader } from './pack-format.ts'
import type { Stores } from './stores.ts'
import { writeAnnounced } from './write-announced.ts'

const BLOCK_BYTES = 1024 * 1024
/** A pack is full at this size, or with this many chunks: its index is read as a whole. */
const PACK_BYTES_MAX = 64 * 1024 * 1024
const PACK_CHUNKS_MAX = 64 * 1024

/** Streams one pack into the storage as its chunks come. Disposing before `finish` discards it. */
export class PackWriter implements AsyncDisposable {
  readonly #header: PackHeader
  readonly #headerBytes: Buffer
  readonly #object: string
  readonly #pipe = createBlockPipe()
  readonly #written: Promise<{ readonly sizeBytes: number }>
  #index: Buffer = Buffer.alloc(256 * CHUNK_INDEX_BYTES)
  #block: Buffer = Buffer.allocUnsafe(BLOCK_BYTES)
  #blockUsed = 0
  #chunkCount = 0
  #chunkBytes = 0

  constructor(
    stores: Pick<Stores, 'storage' | 'ledger'>,
    set: NewSet,
    header: PackHeader,
    signal: AbortSignal,
  ) {
    this.#header = header
    this.#object = packObjectName(header.series, header.born, header.pack, header.generation)
    this.#headerBytes = encodePackHeader(header)
    this.#headerBytes.copy(this.#block)
    this.#blockUsed = this.#headerBytes.length
    this.#written = writeAnnounced(stores, set, this.#object, this.#pipe.blocks, signal)
    this.#written.catch((error: unknown) => this.#pipe.fail(error))
  }

  get full(): boolean {
    return this.#chunkBytes >= PACK_BYTES_MAX || this.#chunkCount >= PACK_CHUNKS_MAX
  }

  /** Copies the bytes. Chunks come in ascending order of their numbers. */
  async append(row: IndexRow, stored: Uint8Array): Promise<void> {
    invariant(row.storedBytes === stored.length, 'the index gives the stored length')
    this.#appendRow(row)
    await this.#appendBytes(stored)
  }

  /** Durable when it resolves. */
  async finish(): Promise<PackFacts> {
    const index = this.#index.subarray(0, this.#chunkCount * CHUNK_INDEX_BYTES)
    await this.#appendBytes(index)
    await this.#appendBytes(encodePackFooter(this.#headerBytes, index))
    await this.#pipe.push(this.#block.subarray(0, this.#blockUsed))
    this.#pipe.end()
    const objectBytes = PACK_FIXED_BYTES + this.#chunkBytes
    const { sizeBytes } = await this.#written
    invariant(sizeBytes === objectBytes, `pack ${this.#object} has the size its chunks give it`)
    return {
      pack: this.#header.pack,
      object: this.#object,
      chunkCount: this.#chunkCount,
      chunkBytes: this.#chunkBytes,
      objectBytes,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pipe.fail(new Fault('cancelled', `pack ${this.#object} was not finished`))
    await Promise.allSettled([this.#written])
  }

  #appendRow(row: IndexRow): void {
    const at = this.#chunkCount * CHUNK_INDEX_BYTES
    if (at === this.#index.length) this.#index = Buffer.concat([this.#index, this.#index])
    encodeIndexRow(row).copy(this.#index, at)
    this.#chunkCount += 1
    this.#chunkBytes += row.storedBytes + CHUNK_INDEX_BYTES
  }

  async #appendBytes(bytes: Uint8Array): Promise<void> {
    let taken = 0
    while (taken < bytes.length) {
      const length = Math.min(bytes.length - taken, BLOCK_BYTES - this.#blockUsed)
      this.#block.set(bytes.subarray(taken, taken + length), this.#blockUsed)
      this.#blockUsed += length
      taken += length
      if (this.#blockUsed < BLOCK_BYTES) continue
      await this.#pipe.push(this.#block)
      this.#block = Buffer.allocUnsafe(BLOCK_BYTES)
      this.#blockUsed = 0
    }
  }
}
