import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SeriesId } from '../base/ids.ts'
import type { PackNumber } from '../series/series.ts'
import type { ChunkLoader } from './chunk-loader.ts'
import type { ChunkRef } from './chunk-ref.ts'
import { HASH_BYTES, REF_BYTES } from './chunk-ref.ts'
import { CHUNK_SIZES, NEW_CHUNK_BYTES } from './chunk-size.ts'
import { createFileMap } from './file-map.ts'
import { FANOUT, mapShape, ROOT_REFS_MAX } from './map-shape.ts'
import { openStoredFile } from './stored-file.ts'

const { signal } = new AbortController()
const COUNTS = [
  0, 1, 4, 5, 63, 64, 65, 255, 256, 257, 300, 4095, 4096, 4097, 16384, 16385, 70_000, 1_048_577,
]

function dataRef(chunk: number): ChunkRef {
  return { pack: 1 as PackNumber, chunk, storedBytes: 9, hash: new Uint8Array(HASH_BYTES) }
}

/** Builds a map of `count` chunks whose pieces are kept in memory, and counts what is loaded. */
function build(count: number) {
  const pieces: Buffer[] = []
  const found: Buffer[] = []
  const queue: (() => void)[] = []
  const map = createFileMap({
    piece(level, index, bytes) {
      const chunk = pieces.push(bytes) - 1
      const ref = { ...dataRef(chunk), pack: (level + 1) as PackNumber, storedBytes: index }
      queue.push(() => map.resolved(level, ref))
    },
    complete: (roots) => found.push(roots),
  })
  map.end(count)
  for (let chunk = 0; chunk < count; chunk += 1) {
    map.resolved(0, dataRef(chunk))
    if (chunk % 50 === 0) queue.shift()?.()
  }
  for (let next = queue.shift(); next; next = queue.shift()) next()
  const [roots] = found
  assert.ok(roots && found.length === 1, 'a map is complete once')
  return { roots, pieces }
}

function openBuilt(count: number) {
  const { roots, pieces } = build(count)
  let loaded = 0
  const load: ChunkLoader['loadTree'] = async (_series, wanted) =>
    wanted.map(({ ref, rawBytes }) => {
      loaded += 1
      const piece = pieces[ref.chunk] ?? Buffer.alloc(0)
      assert.equal(piece.length, rawBytes)
      return piece
    })
  const loader: ChunkLoader = { loadTree: load, loadData: load }
  const chunkBytes = NEW_CHUNK_BYTES
  const lengthBytes = count * chunkBytes
  const entry = { kind: 'file', path: 'x', mode: 0o600, lengthBytes, roots } as const
  const file = openStoredFile(1 as SeriesId, entry, { loader, chunkBytes })
  return { file, pieces, roots, loaded: () => loaded }
}

for (const count of COUNTS) {
  test(`a map of ${count} chunks gives every chunk and piece back in its place`, async () => {
    const { file, pieces, roots, loaded } = openBuilt(count)
    assert.ok(roots.length <= ROOT_REFS_MAX * REF_BYTES)
    assert.equal(
      file.shape.slice(1).reduce((total, level) => total + level, 0),
      pieces.length,
    )
    for (let chunk = 0; chunk < count; chunk += 1) {
      const found = await file.at(0, chunk, signal)
      assert.equal(found?.ref.chunk, chunk)
    }
    assert.equal(loaded(), pieces.length, 'reading in order loads each piece once')
    for (const [level, size] of file.shape.entries()) {
      if (level > 0 && size > 0) {
        const last = await file.at(level, size - 1, signal)
        assert.equal(last?.ref.pack, level + 1)
        assert.equal(last?.ref.storedBytes, size - 1)
      }
      assert.equal(await file.at(level, size, signal), null)
    }
    assert.equal(await file.at(file.shape.length, 0, signal), null)
  })
}

test("a map's last level always fits into the list entry", () => {
  for (const chunkBytes of CHUNK_SIZES) {
    for (let exponent = 0; exponent <= 53; exponent += 1) {
      const lengthBytes = 2 ** exponent - 1
      const shape = mapShape({ lengthBytes, chunkBytes })
      assert.equal(shape[0], Math.ceil(lengthBytes / chunkBytes))
      assert.ok((shape.at(-1) ?? 0) <= ROOT_REFS_MAX)
      for (const [level, size] of shape.entries()) {
        if (level > 0) assert.equal(size, Math.ceil((shape[level - 1] ?? 0) / FANOUT))
      }
    }
  }
})
