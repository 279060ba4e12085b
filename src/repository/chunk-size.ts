/** What a repository may cut at: powers of two, from half a database page to eight. */
export const CHUNK_SIZES: readonly number[] = [4, 8, 16, 32, 64].map(
  (kibibytes) => kibibytes * 1024,
)
export const CHUNK_BYTES_MAX = 64 * 1024

/** What a new repository cuts at; see `docs/decisions/0009-chunk-size.md`. */
export const NEW_CHUNK_BYTES = 16 * 1024

export function isChunkSize(bytes: unknown): bytes is number {
  return typeof bytes === 'number' && CHUNK_SIZES.includes(bytes)
}
