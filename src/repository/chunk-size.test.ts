import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import type { TreeEntry } from '../base/file-tree.ts'
import { SILENT } from '../base/logger.ts'
import type { SealedSet, SetNumber } from '../series/series.ts'
import type { TestRepository } from '../testing/open-test-repository.ts'
import {
  newSet,
  openTestRepository,
  readTestSet,
  TEST_SERIES,
  writeTestSet,
} from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { pageContent } from '../testing/tree-history.ts'
import { CHUNK_SIZES } from './chunk-size.ts'
import type { CodecPool } from './codec-pool.ts'
import { openCodecPool } from './codec-pool.ts'
import { initialiseRepository, readHeader } from './header.ts'
import { openRepository } from './open-repository.ts'
import type { Repository } from './repository.ts'

const { signal } = new AbortController()

/** What the file at each path holds; `null` for a link that is longer than the smallest chunk. */
type Contents = ReadonlyMap<string, Buffer | null>

/** Files of lengths at which chunks and levels of maps begin, and links that fill pieces of lists. */
function contentsFor(chunkBytes: number): Map<string, Buffer | null> {
  const random = pseudoRandom(chunkBytes)
  const counts = [1, 2, 4, 5, 64, 65, 257]
  const lengths = [
    0,
    1,
    ...counts.flatMap((count) => [-1, 0, 1].map((by) => count * chunkBytes + by)),
  ]
  const contents = new Map<string, Buffer | null>()
  for (const length of lengths) contents.set(`f${length}`, pageContent(random, length))
  for (const name of ['l', 'm', 'n']) contents.set(name.repeat(4000), null)
  return contents
}

function* entriesOf(contents: Contents): Iterable<TreeEntry> {
  for (const [path, content] of contents) {
    if (content) yield { kind: 'file', path, mode: 0o600, content: blocksOf(content) }
    else yield { kind: 'link', path, mode: 0o777, target: path }
  }
}

async function* blocksOf(content: Buffer): AsyncIterable<Uint8Array> {
  for (let at = 0; at < content.length; at += 50_000) yield content.subarray(at, at + 50_000)
}

/** Opens what is there anew, as a restart does: nothing but the header tells the length of chunks. */
function reopen(opened: TestRepository, codec: CodecPool): Promise<Repository> {
  const options = { scratchDirectory: opened.scratchDirectory, log: SILENT }
  return openRepository(opened.storage, opened.ledger, codec, options)
}

async function assertRestores(repository: Repository, { stored }: SealedSet, contents: Contents) {
  const left = new Map(contents)
  for await (const { entry, content } of readTestSet(repository, stored, signal)) {
    const expected = left.get(entry.path) ?? null
    assert.ok(left.delete(entry.path), entry.path)
    if (expected) assert.ok(content?.equals(expected), `${entry.path} has its bytes`)
    else assert.equal(entry.kind === 'link' && entry.target, entry.path)
  }
  assert.equal(left.size, 0)
}

async function assertSound(repository: Repository, { stored, packs }: SealedSet) {
  for (const pack of packs) {
    const location = { ...pack, born: stored.number as SetNumber, generation: 0 }
    await repository.checkPack(TEST_SERIES, pack.pack, location, signal)
  }
}

for (const chunkBytes of CHUNK_SIZES) {
  test(`a repository with chunks of ${chunkBytes} bytes is opened by its header, shares chunks with its earlier sets and restores all`, async () => {
    await using opened = await openTestRepository({ chunkBytes })
    const contents = contentsFor(chunkBytes)
    const first = await writeTestSet(opened, newSet(1, null), entriesOf(contents), signal)
    await using codec = openCodecPool({ threads: 1, slots: 2 })
    const repository = await reopen(opened, codec)
    assert.equal(repository.chunkBytes, chunkBytes)

    const parts = { repository, ledger: opened.ledger }
    const same = newSet(2, first.stored)
    const second = await writeTestSet(parts, same, entriesOf(contents), signal)
    assert.deepEqual([second.packs, second.retirements], [[], []])

    const changed = new Map(contents)
    const path = `f${257 * chunkBytes}`
    const content = Buffer.from(contents.get(path) ?? '')
    // The last byte of one chunk and the first of the next but one.
    for (const at of [9 * chunkBytes - 1, 10 * chunkBytes]) content[at] = (content[at] ?? 0) ^ 1
    changed.set(path, content)
    const next = newSet(3, second.stored)
    const third = await writeTestSet(parts, next, entriesOf(changed), signal)
    const [data, tree] = third.packs
    assert.equal(data?.chunkCount, 2)
    // The map's pieces of two levels, and the list's piece.
    assert.equal(tree?.chunkCount, 3)

    for (const sealed of [first, third]) await assertSound(repository, sealed)
    await assertRestores(repository, first, contents)
    await assertRestores(repository, second, contents)
    await assertRestores(opened.repository, third, changed)
  })
}

test('a list of files too long for memory is spooled and read back by the length of chunks', async () => {
  const chunkBytes = 4096
  await using opened = await openTestRepository({ chunkBytes })
  const content = pageContent(pseudoRandom(1), 2 * chunkBytes + 1)
  const paths = Array.from({ length: 2200 }, (_, index) => `${index}`.padStart(4000, '0'))
  const contents = new Map(paths.map((path) => [path, content]))
  const sealed = await writeTestSet(opened, newSet(1, null), entriesOf(contents), signal)
  await assertRestores(opened.repository, sealed, contents)
})

test('a new repository has chunks of 16 KiB, and one that is there keeps its own', async () => {
  await using fresh = await openTestRepository()
  assert.equal(fresh.repository.chunkBytes, 16_384)
  await using older = await openTestRepository({ chunkBytes: 32_768 })
  const header = await initialiseRepository(older.storage, randomUUID(), signal)
  assert.equal(header.chunkBytes, 32_768)
  assert.equal(header.repositoryId, older.repository.id)
})

test('a repository is not made with chunks that no version could read', async () => {
  await using opened = await openTestRepository()
  await opened.storage.remove(['repository.json'], signal)
  for (const chunkBytes of [0, 2048, 24_576, 131_072, Number.NaN]) {
    const made = initialiseRepository(opened.storage, randomUUID(), signal, chunkBytes)
    await assert.rejects(made, /broken invariant/)
  }
  assert.equal(await opened.storage.size('repository.json', signal), null)
})

for (const found of ['24576', '1048576', '2048', '0', '-16384', '16384.5', '"16384"', 'null']) {
  test(`a header that says chunks of ${found} is refused as unfit, and nothing is written`, async () => {
    await using opened = await openTestRepository()
    const path = join(opened.directory, 'repository.json')
    const text = await readFile(path, 'utf8')
    const changed = text.replace('"chunkBytes": 16384', `"chunkBytes": ${found}`)
    assert.notEqual(changed, text)
    await writeFile(path, changed)
    await using codec = openCodecPool({ threads: 1, slots: 1 })
    const unfit = (error: unknown) => isFault(error, 'unfit') && /chunks of/.test(error.message)
    await assert.rejects(reopen(opened, codec), unfit)
    await assert.rejects(readHeader(opened.storage, signal), unfit)
    await assert.rejects(initialiseRepository(opened.storage, randomUUID(), signal), unfit)
    await assert.rejects(opened.repository.writeSet(newSet(1, null), signal), unfit)
    assert.equal(await readFile(path, 'utf8'), changed)
    const objects = await Array.fromAsync(opened.storage.list('', signal))
    assert.deepEqual(
      objects.map(({ name }) => name),
      ['repository.json'],
    )
  })
}

test('packs cut at another length than the header says are refused by name, not misread', async () => {
  await using opened = await openTestRepository({ chunkBytes: 32_768 })
  const contents = contentsFor(32_768)
  const sealed = await writeTestSet(opened, newSet(1, null), entriesOf(contents), signal)
  const path = join(opened.directory, 'repository.json')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace('"chunkBytes": 32768', '"chunkBytes": 16384'))
  await using codec = openCodecPool({ threads: 1, slots: 2 })
  const repository = await reopen(opened, codec)
  const refused = (error: unknown) =>
    isFault(error, 'corrupt') &&
    sealed.packs.some(({ object }) => error.message.includes(object)) &&
    /chunkBytes 32768 instead of 16384/.test(error.message)
  await assert.rejects(assertSound(repository, sealed), refused)
  await assert.rejects(assertRestores(repository, sealed, contents), refused)
  const parts = { repository, ledger: opened.ledger }
  const next = newSet(2, sealed.stored)
  await assert.rejects(writeTestSet(parts, next, entriesOf(contents), signal), refused)
  for (const pack of sealed.packs) {
    const from = { ...pack, born: 1 as SetNumber, generation: 0 }
    const to = { ...from, generation: 1, object: `${pack.object.slice(0, -1)}1` }
    const step = { series: TEST_SERIES, pack: pack.pack, from, to, keep: Uint8Array.of(1) }
    await assert.rejects(repository.rewritePack(step, signal), refused)
    assert.equal(await opened.storage.size(to.object, signal), null)
  }
})
