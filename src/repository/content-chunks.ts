/**
 * Cuts a stream into chunks of `chunkBytes`, the last one shorter. A chunk is valid only until the next
 * one is asked for.
 */
export async function* contentChunks(
  content: AsyncIterable<Uint8Array>,
  chunkBytes: number,
): AsyncIterable<Uint8Array> {
  const begun = Buffer.allocUnsafe(chunkBytes)
  let begunBytes = 0
  for await (const block of content) {
    let rest = block
    while (rest.length > 0) {
      if (begunBytes === 0 && rest.length >= chunkBytes) {
        yield rest.subarray(0, chunkBytes)
        rest = rest.subarray(chunkBytes)
        continue
      }
      const length = Math.min(rest.length, chunkBytes - begunBytes)
      begun.set(rest.subarray(0, length), begunBytes)
      begunBytes += length
      rest = rest.subarray(length)
      if (begunBytes === chunkBytes) {
        yield begun
        begunBytes = 0
      }
    }
  }
  if (begunBytes > 0) yield begun.subarray(0, begunBytes)
}
