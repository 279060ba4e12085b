import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { countBits, fullBitmap, withoutBitmap } from '../series/bitmap.ts'
import { packObjectName } from '../series/object-names.ts'
import type { PackFacts, PackNumber, SealedSet, SetNumber } from '../series/series.ts'
import { PACK_FIXED_BYTES } from '../series/series.ts'
import type { TestRepository } from '../testing/open-test-repository.ts'
import {
  newSet,
  openTestRepository,
  readTestSet,
  TEST_SERIES,
  writeTestSet,
} from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { changeTree, entriesOf, firstTree } from '../testing/tree-history.ts'
import type { PackLocation, RewriteStep } from './repository.ts'

const { signal } = new AbortController()

/** Two sets; each pack of the first one with the step that keeps what the second one uses. */
async function twoSets(opened: TestRepository) {
  const random = pseudoRandom(42)
  const before = firstTree(random)
  const tree = changeTree(before, random)
  const first = await writeTestSet(opened, newSet(1, null), entriesOf(before, random), signal)
  const base = newSet(2, first.stored)
  const second = await writeTestSet(opened, base, entriesOf(tree, random), signal)
  return { second, tree, steps: first.packs.map((pack) => stepFor(pack, second)) }
}

function stepFor(pack: PackFacts, next: SealedSet): RewriteStep {
  const retired = next.retirements.find((row) => row.pack === pack.pack)
  assert.ok(retired, 'the histories differ in every pack')
  const born = 1 as SetNumber
  const from: PackLocation = { ...pack, born, generation: 0 }
  const to: PackLocation = {
    born,
    generation: 1,
    object: packObjectName(TEST_SERIES, born, pack.pack, 1),
    objectBytes: PACK_FIXED_BYTES + pack.chunkBytes - retired.bytes,
  }
  const keep = withoutBitmap(fullBitmap(pack.chunkCount), retired.which)
  return { series: TEST_SERIES, pack: pack.pack, from, to, keep }
}

test('a rewritten pack has the size foretold and serves the sets that are left', async () => {
  await using opened = await openTestRepository()
  const { second, tree, steps } = await twoSets(opened)
  // A reader that has found the first generation goes on, though it is taken away.
  const reading = readTestSet(opened.repository, second.stored, signal)[Symbol.asyncIterator]()
  await reading.next()
  for (const step of steps) {
    await opened.repository.rewritePack(step, signal)
    await opened.repository.rewritePack(step, signal)
    assert.equal((await stat(join(opened.directory, step.to.object))).size, step.to.objectBytes)
    await opened.repository.checkPack(TEST_SERIES, step.pack, step.to, signal)
    opened.ledger.move(TEST_SERIES, step.pack, step.to)
    await opened.repository.removeObjects([step.from.object], signal)
  }
  let count = 1
  for (let next = await reading.next(); !next.done; next = await reading.next()) count += 1
  assert.equal(count, tree.size)
  for await (const { entry, content } of readTestSet(opened.repository, second.stored, signal)) {
    const node = tree.get(entry.path)
    if (node?.kind === 'file') assert.ok(content?.equals(node.content), entry.path)
  }
  const used = new Map<PackNumber, number>()
  for await (const { pack } of opened.repository.audit(second.stored, signal)) {
    used.set(pack, (used.get(pack) ?? 0) + 1)
  }
  for (const { pack, keep } of steps) assert.equal(used.get(pack), countBits(keep))
})

test('a rewrite refuses damaged chunks and a size that does not add up, and writes nothing', async () => {
  await using opened = await openTestRepository()
  const { steps } = await twoSets(opened)
  for (const step of steps) {
    const wrong = { ...step, to: { ...step.to, objectBytes: step.to.objectBytes + 1 } }
    await assert.rejects(opened.repository.rewritePack(wrong, signal), isCorrupt(step))
    const missing = { ...step, keep: Uint8Array.from([...step.keep, ...new Array(99).fill(0), 1]) }
    await assert.rejects(opened.repository.rewritePack(missing, signal), isCorrupt(step))
    const path = join(opened.directory, step.from.object)
    const bytes = await readFile(path)
    // What lies between the header and the index: the chunks.
    bytes.fill(0x55, 448, bytes.length - 64 - 32 * bytes.readUInt32LE(bytes.length - 64))
    await writeFile(path, bytes)
    await assert.rejects(opened.repository.rewritePack(step, signal), isCorrupt(step))
    assert.equal(await opened.storage.size(step.to.object, signal), null)
  }
})

function isCorrupt(step: RewriteStep): (error: unknown) => boolean {
  return (error) => isFault(error, 'corrupt') && error.message.includes(step.from.object)
}
