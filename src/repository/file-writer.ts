import type { WholeFile } from '../base/file-tree.ts'
import type { ChunkAtPlace } from './chunk-ref.ts'
import type { ChunkSink } from './chunk-sink.ts'
import { contentChunks } from './content-chunks.ts'
import type { FileMap } from './file-map.ts'
import { createFileMap } from './file-map.ts'
import type { ListedFile } from './list-entry.ts'
import { FANOUT, mapShape } from './map-shape.ts'
import type { Retirements } from './retirements.ts'
import type { StoredFile } from './stored-file.ts'

/** Writes the contents and maps of files, one file after the other. */
export interface FileWriter {
  /**
   * Takes the file's content to its end; `listed` is told later, once everything of it is stored.
   * What the base's file has and this one has not is retired.
   */
  write(
    file: WholeFile,
    before: StoredFile | null,
    listed: (entry: ListedFile) => void,
    signal: AbortSignal,
  ): Promise<void>
  /** Resolves when every file written so far has been listed. */
  finish(signal: AbortSignal): Promise<void>
  readonly contentBytes: number
}

/** A map piece that waits to be put by whoever puts chunks next: storing must not wait for room. */
interface WaitingPiece {
  readonly level: number
  readonly bytes: Buffer
  readonly before: ChunkAtPlace | null
  readonly map: FileMap
}

export function createFileWriter(sink: ChunkSink, retirements: Retirements): FileWriter {
  const waiting: WaitingPiece[] = []
  const { chunkBytes } = sink
  let contentBytes = 0

  async function putWaiting(): Promise<void> {
    for (let piece = waiting.shift(); piece; piece = waiting.shift()) {
      const { level, bytes, before, map } = piece
      await sink.put({
        kind: 'tree',
        bytes,
        before,
        settled: (ref) => map.resolved(level, ref),
      })
    }
  }

  return {
    async write(file, before, listed, signal) {
      const { path, mode } = file
      const piecesBefore = new PiecesBefore(before)
      let lengthBytes = 0
      const map = createFileMap({
        piece: (level, index, bytes) =>
          waiting.push({ level, bytes, before: piecesBefore.take(level, index), map }),
        complete: (roots) => listed({ kind: 'file', path, mode, lengthBytes, roots }),
      })
      let index = 0
      for await (const bytes of contentChunks(file.content, chunkBytes)) {
        signal.throwIfAborted()
        await piecesBefore.note(index, signal)
        await putWaiting()
        const chunkBefore = (await before?.at(0, index, signal)) ?? null
        const settled = map.resolved.bind(null, 0)
        await sink.put({ kind: 'data', bytes, before: chunkBefore, settled })
        lengthBytes += bytes.length
        contentBytes += bytes.length
        index += 1
      }
      map.end(index)
      const kept = mapShape({ lengthBytes, chunkBytes })
      if (before) await retireBeyond(before, kept, retirements, signal)
    },
    async finish(signal) {
      do {
        signal.throwIfAborted()
        await putWaiting()
        await sink.flush()
      } while (waiting.length > 0)
    },
    get contentBytes() {
      return contentBytes
    },
  }
}

/** Retires all references of `before` whose places a map of the shape `kept` does not have. */
export async function retireBeyond(
  before: StoredFile,
  kept: readonly number[],
  retirements: Retirements,
  signal: AbortSignal,
): Promise<void> {
  for (const [level, count] of before.shape.entries()) {
    for (let index = kept[level] ?? 0; index < count; index += 1) {
      const found = await before.at(level, index, signal)
      if (found) retirements.retire(found.ref)
    }
  }
}

/**
 * The base's map pieces, noted while its map is read in order for the chunks, because a new piece is
 * complete only when reading has gone on; so the base's map is read once.
 */
class PiecesBefore {
  readonly #before: StoredFile | null
  readonly #noted: Map<number, ChunkAtPlace>[] = []

  constructor(before: StoredFile | null) {
    this.#before = before
  }

  /** To be called for every chunk, in order. */
  async note(chunk: number, signal: AbortSignal): Promise<void> {
    if (!this.#before) return
    const levels = this.#before.shape.length
    let index = chunk
    for (let level = 1; level < levels && index % FANOUT === 0; level += 1) {
      index /= FANOUT
      const found = await this.#before.at(level, index, signal)
      const noted = this.#noted[level] ?? new Map<number, ChunkAtPlace>()
      this.#noted[level] = noted
      if (found) noted.set(index, found)
    }
  }

  take(level: number, index: number): ChunkAtPlace | null {
    const noted = this.#noted[level]
    const found = noted?.get(index) ?? null
    noted?.delete(index)
    return found
  }
}
