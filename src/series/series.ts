import type { SeriesId } from '../base/ids.ts'

/** Number of a set in its series: 1, 2, 3 …; burnt when the attempt that took it fails. */
export type SetNumber = number & { readonly _id: 'set number' }
/** Number of a pack in its series, handed out by the catalogue, never used twice. */
export type PackNumber = number & { readonly _id: 'pack number' }

/** Where a finished set starts: its manifest object. */
export interface StoredSet {
  readonly series: SeriesId
  readonly number: SetNumber
  readonly setId: number
  readonly manifest: string
}

/** A set about to be written. `base` is the newest set, pinned; null for the first. */
export interface NewSet {
  readonly series: SeriesId
  readonly number: SetNumber
  readonly setId: number
  readonly base: StoredSet | null
}

/**
 * What a chunk costs in its pack and what a pack costs without chunks: an object's size is
 * `PACK_FIXED_BYTES + Σ (stored length + CHUNK_INDEX_BYTES)`, so the size of a rewritten pack is
 * known before it is written (rule R4). Part of the format: docs/formats/repository.md.
 */
export const PACK_FIXED_BYTES = 512
export const CHUNK_INDEX_BYTES = 32

/** A pack as its writer leaves it: generation 0, every chunk in it. */
export interface PackFacts {
  readonly pack: PackNumber
  readonly object: string
  readonly chunkCount: number
  /** Σ (stored length + CHUNK_INDEX_BYTES). */
  readonly chunkBytes: number
  /** `PACK_FIXED_BYTES + chunkBytes` = the object's size. */
  readonly objectBytes: number
}

/** The chunks of one earlier pack that the base set used and the new set does not. */
export interface Retirement {
  readonly pack: PackNumber
  /** Bit i (least significant first) = chunk i; as long as it needs to be. */
  readonly which: Uint8Array
  readonly chunkCount: number
  /** Σ (stored length + CHUNK_INDEX_BYTES) of those chunks. */
  readonly bytes: number
}

/** What the catalogue records in the one transaction that makes the set exist. */
export interface SealedSet {
  readonly stored: StoredSet
  readonly packs: readonly PackFacts[]
  readonly retirements: readonly Retirement[]
  /** Σ of file lengths. */
  readonly contentBytes: number
  /** Σ chunkBytes of the packs this set wrote. */
  readonly newBytes: number
  readonly manifestBytes: number
  /** SHA-256 of the manifest object, hex. */
  readonly manifestHash: string
}
