import type { SeriesId } from '../base/ids.ts'
import type { ChunkAtPlace } from './chunk-ref.ts'
import { refAt } from './chunk-ref.ts'
import type { ListedFile } from './list-entry.ts'
import type { MapShape } from './map-shape.ts'
import { FANOUT, mapShape, rawBytesAt } from './map-shape.ts'
import type { Stores } from './stores.ts'

/** The map of a file of a finished set. Reading it in order reads each piece once. */
export interface StoredFile {
  readonly lengthBytes: number
  readonly shape: MapShape
  /** What the `index`-th reference of `level` refers to; null beyond the map's end. */
  at(level: number, index: number, signal: AbortSignal): Promise<ChunkAtPlace | null>
}

/** Sibling pieces are read together, and the last such family of each level is kept. */
interface Family {
  readonly number: number
  readonly pieces: readonly Uint8Array[]
}

export function openStoredFile(
  series: SeriesId,
  { lengthBytes, roots }: ListedFile,
  { loader, chunkBytes }: Pick<Stores, 'loader' | 'chunkBytes'>,
): StoredFile {
  const cut = { lengthBytes, chunkBytes }
  const shape = mapShape(cut)
  const families: (Family | undefined)[] = []

  async function at(
    level: number,
    index: number,
    signal: AbortSignal,
  ): Promise<ChunkAtPlace | null> {
    if (index >= (shape[level] ?? 0)) return null
    const rawBytes = rawBytesAt(shape, cut, level, index)
    if (level === shape.length - 1) return { ref: refAt(roots, index), rawBytes }
    const piece = await pieceOf(level + 1, Math.floor(index / FANOUT), signal)
    return { ref: refAt(piece, index % FANOUT), rawBytes }
  }

  async function pieceOf(level: number, index: number, signal: AbortSignal): Promise<Uint8Array> {
    const number = Math.floor(index / FANOUT)
    let family = families[level]
    if (family?.number !== number) {
      family = { number, pieces: await loadFamily(level, number, signal) }
      families[level] = family
    }
    return family.pieces[index % FANOUT] ?? new Uint8Array()
  }

  async function loadFamily(
    level: number,
    number: number,
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    const wanted: ChunkAtPlace[] = []
    for (let index = number * FANOUT; wanted.length < FANOUT; index += 1) {
      const piece = await at(level, index, signal)
      if (!piece) break
      wanted.push(piece)
    }
    return loader.loadTree(series, wanted, signal)
  }

  return { lengthBytes, shape, at }
}
