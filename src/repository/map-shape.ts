import { REF_BYTES } from './chunk-ref.ts'

/** References in a full map piece. */
export const FANOUT = 64
/** This many references stand in the list entry itself. */
export const ROOT_REFS_MAX = 4

/**
 * How many references each level of a file's map holds. Level 0 refers to the file's chunks; a piece
 * of level n + 1 is up to 64 references of level n. The last level, of at most 4, stands in the list
 * entry. A function of two lengths alone, so that readers and writers agree.
 */
export type MapShape = readonly number[]

/** A file's length, and the length of all its chunks but the last. */
interface CutFile {
  readonly lengthBytes: number
  readonly chunkBytes: number
}

export function mapShape({ lengthBytes, chunkBytes }: CutFile): MapShape {
  let count = Math.ceil(lengthBytes / chunkBytes)
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
  { lengthBytes, chunkBytes }: CutFile,
  level: number,
  index: number,
): number {
  if (level === 0) return Math.min(chunkBytes, lengthBytes - index * chunkBytes)
  return Math.min(FANOUT, (shape[level - 1] ?? 0) - index * FANOUT) * REF_BYTES
}
