import { CHUNK_BYTES, REF_BYTES } from './chunk-ref.ts'

/** References in a full map piece. */
export const FANOUT = 64
/** This many references stand in the list entry itself. */
export const ROOT_REFS_MAX = 4

/**
 * How many references each level of a file's map holds. Level 0 refers to the file's chunks; a piece
 * of level n + 1 is up to 64 references of level n. The last level, of at most 4, stands in the list
 * entry. A function of the length alone, so that readers and writers agree.
 */
export type MapShape = readonly number[]

export function mapShape(lengthBytes: number): MapShape {
  let count = Math.ceil(lengthBytes / CHUNK_BYTES)
  const shape = [count]
  while (count > ROOT_REFS_MAX) {
    count = Math.ceil(count / FANOUT)
    shape.push(count)
  }
  return shape
}

/** The raw length of what the `index`-th reference of `level` refers to. */
export function rawBytesAt(
  shape: MapShape,
  lengthBytes: number,
  level: number,
  index: number,
): number {
  if (level === 0) return Math.min(CHUNK_BYTES, lengthBytes - index * CHUNK_BYTES)
  return Math.min(FANOUT, (shape[level - 1] ?? 0) - index * FANOUT) * REF_BYTES
}
