import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasBit } from '../series/bitmap.ts'
import type { PackNumber, SealedSet } from '../series/series.ts'
import { CHUNK_INDEX_BYTES, PACK_FIXED_BYTES } from '../series/series.ts'
import type { TestRepository } from '../testing/open-test-repository.ts'
import {
  newSet,
  openTestRepository,
  readTestSet,
  writeTestSet,
} from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import type { MemoryTree } from '../testing/tree-history.ts'
import { changeTree, entriesOf, firstTree } from '../testing/tree-history.ts'
import { CHUNK_SIZES, NEW_CHUNK_BYTES } from './chunk-size.ts'

const { signal } = new AbortController()
const SETS = 5
const HISTORIES = [
  ...Array.from({ length: 30 }, (_, index) => ({ seed: index + 1, chunkBytes: NEW_CHUNK_BYTES })),
  ...CHUNK_SIZES.flatMap((chunkBytes) => [31, 32].map((seed) => ({ seed, chunkBytes }))),
]

interface Kept {
  readonly tree: MemoryTree
  readonly sealed: SealedSet
}

for (const { seed, chunkBytes } of HISTORIES) {
  test(`every set of a random history restores, and intervals are exact (seed ${seed}, chunks of ${chunkBytes} bytes)`, async () => {
    await using opened = await openTestRepository({ chunkBytes })
    const random = pseudoRandom(seed)
    const kept: Kept[] = []
    let tree = firstTree(random)
    for (let number = 1; number <= SETS; number += 1) {
      const base = kept.at(-1)?.sealed.stored ?? null
      const entries = entriesOf(tree, random)
      kept.push({ tree, sealed: await writeTestSet(opened, newSet(number, base), entries, signal) })
      tree = changeTree(tree, random)
    }
    for (const set of kept) await checkRestored(opened, set)
    await checkSizes(opened, kept)
    await checkIntervals(opened, kept)
  })
}

async function checkRestored({ repository }: TestRepository, { tree, sealed }: Kept) {
  const paths: string[] = []
  for await (const { entry, content } of readTestSet(repository, sealed.stored, signal)) {
    const node = tree.get(entry.path)
    assert.ok(node, entry.path)
    assert.equal(entry.kind, node.kind, entry.path)
    assert.equal(entry.mode, node.mode, entry.path)
    if (node.kind === 'file') {
      assert.ok(content?.equals(node.content), `${entry.path} has its bytes`)
      assert.equal(entry.kind === 'file' && entry.lengthBytes, node.content.length)
    }
    if (node.kind === 'link') assert.equal(entry.kind === 'link' && entry.target, node.target)
    paths.push(entry.path)
  }
  const sorted = [...tree.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  assert.deepEqual(paths, sorted)
  const reader = await repository.readSet(sealed.stored, signal)
  assert.equal(Buffer.from(reader.description).toString(), `set ${sealed.stored.number}`)
  assert.equal(reader.entryCount, tree.size)
  assert.equal(reader.contentBytes, sealed.contentBytes)
}

async function checkSizes({ directory, ledger }: TestRepository, kept: readonly Kept[]) {
  const written: string[] = []
  for (const { sealed } of kept) {
    const { stored, packs, manifestBytes } = sealed
    assert.equal((await stat(join(directory, stored.manifest))).size, manifestBytes)
    for (const pack of packs) {
      assert.equal((await stat(join(directory, pack.object))).size, pack.objectBytes)
      assert.equal(pack.objectBytes, PACK_FIXED_BYTES + pack.chunkBytes)
      written.push(pack.object)
    }
    assert.equal(sealed.newBytes, sum(packs.map((pack) => pack.chunkBytes)))
    written.push(stored.manifest)
  }
  assert.deepEqual(written.toSorted(), ledger.announced.toSorted())
}

/** Used by set n ⟺ born ≤ n < retired, for every chunk of every pack, and the bytes agree. */
async function checkIntervals({ repository }: TestRepository, kept: readonly Kept[]) {
  const open = new Map<PackNumber, { chunkCount: number; gone: Set<number>; bytes: number }>()
  for (const { sealed } of kept) {
    for (const pack of sealed.packs) {
      const { chunkCount, chunkBytes } = pack
      open.set(pack.pack, { chunkCount, gone: new Set(), bytes: chunkBytes })
    }
    for (const retirement of sealed.retirements) {
      const state = open.get(retirement.pack)
      assert.ok(state, 'only chunks of earlier packs are retired')
      let count = 0
      for (let chunk = 0; chunk < state.chunkCount; chunk += 1) {
        if (!hasBit(retirement.which, chunk)) continue
        assert.ok(!state.gone.has(chunk), 'no chunk is retired twice')
        state.gone.add(chunk)
        count += 1
      }
      assert.equal(count, retirement.chunkCount)
      state.bytes -= retirement.bytes
    }
    const used = new Map<PackNumber, Map<number, number>>()
    for await (const { pack, chunk, bytes } of repository.audit(sealed.stored, signal)) {
      const chunks = used.get(pack) ?? new Map<number, number>()
      used.set(pack, chunks)
      assert.ok(!chunks.has(chunk), `chunk ${chunk} of pack ${pack} has one place`)
      assert.ok(bytes > CHUNK_INDEX_BYTES)
      chunks.set(chunk, bytes)
    }
    for (const [pack, state] of open) {
      const chunks = used.get(pack) ?? new Map<number, number>()
      for (let chunk = 0; chunk < state.chunkCount; chunk += 1) {
        const alive = !state.gone.has(chunk)
        assert.equal(chunks.has(chunk), alive, `set ${sealed.stored.number}: ${pack}/${chunk}`)
      }
      assert.equal(sum(chunks.values()), state.bytes)
    }
  }
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
