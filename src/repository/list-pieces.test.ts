import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CHUNK_SIZES } from './chunk-size.ts'
import type { ListEntry } from './list-entry.ts'
import { decodeListEntries, PATH_BYTES_MAX } from './list-entry.ts'
import { cutList } from './list-pieces.ts'

async function* listOf(entries: readonly ListEntry[]): AsyncIterable<ListEntry> {
  yield* entries
}

/** Short and very long entries in turns; the longest does not fit into the smallest chunk. */
function entries(): ListEntry[] {
  return Array.from({ length: 900 }, (_, index): ListEntry => {
    const path = `${index}`.padStart(5, '0')
    if (index % 7 > 1) return { kind: 'directory', path, mode: 0o700 }
    const long = 'x'.repeat(PATH_BYTES_MAX - 6)
    return { kind: 'link', path: `${path}/${long}`, mode: 0o777, target: long }
  })
}

for (const chunkBytes of CHUNK_SIZES) {
  test(`pieces of a list are whole entries and at most ${chunkBytes} bytes, but for a longer entry alone`, async () => {
    const given = entries()
    const pieces = await Array.fromAsync(cutList(listOf(given), chunkBytes))
    const found: ListEntry[] = []
    for (const { firstPath, bytes } of pieces) {
      const inside = decodeListEntries(bytes, chunkBytes, 'a piece')
      assert.equal(inside[0]?.path, firstPath)
      assert.ok(bytes.length <= chunkBytes || inside.length === 1)
      found.push(...inside)
    }
    assert.deepEqual(found, given)
    const alone = pieces.filter(({ bytes }) => bytes.length > chunkBytes)
    assert.equal(alone.length > 0, chunkBytes <= 2 * PATH_BYTES_MAX)
  })
}
