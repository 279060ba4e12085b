import { CHUNK_BYTES } from './chunk-ref.ts'

/**
 * Cuts a stream into chunks aligned to its start, the last one shorter. A chunk is valid only until
 * the next one is asked for.
 */
export async function* contentChunks(
  content: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const begun = Buffer.allocUnsafe(CHUNK_BYTES)
  let begunBytes = 0
  for await (const block of content) {
    let rest = block
    while (rest.length > 0) {
      if (begunBytes === 0 && rest.length >= CHUNK_BYTES) {
        yield rest.subarray(0, CHUNK_BYTES)
        rest = rest.subarray(CHUNK_BYTES)
        continue
      }
      const length = Math.min(rest.length, CHUNK_BYTES - begunBytes)
      begun.set(rest.subarray(0, length), begunBytes)
      begunBytes += length
      rest = rest.subarray(length)
      if (begunBytes === CHUNK_BYTES) {
        yield begun
        begunBytes = 0
      }
    }
  }
  if (begunBytes > 0) yield begun.subarray(0, begunBytes)
}
