import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FaultKind } from '../base/fault.ts'
import { isFault } from '../base/fault.ts'
import type { TreeEntry } from '../base/file-tree.ts'
import type { SealedSet, StoredSet } from '../series/series.ts'
import { openFileStorage } from '../storage/file-storage.ts'
import { failingStorage } from '../testing/failing-storage.ts'
import type { TestRepository } from '../testing/open-test-repository.ts'
import {
  newSet,
  openTestRepository,
  readTestSet,
  writeTestSet,
} from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { pageContent } from '../testing/tree-history.ts'
import { initialiseRepository } from './header.ts'

const { signal } = new AbortController()
const CHUNK = 16 * 1024

async function* once(...blocks: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* blocks
}

function file(path: string, ...blocks: readonly Uint8Array[]): TreeEntry {
  return { kind: 'file', path, mode: 0o600, content: once(...blocks) }
}

function randomFiles(seed: number, count: number, lengthBytes: number): TreeEntry[] {
  const random = pseudoRandom(seed)
  return Array.from({ length: count }, (_, index) =>
    file(`f/${index}`, pageContent(random, lengthBytes)),
  )
}

async function restoreAll(opened: TestRepository, stored: StoredSet): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>()
  for await (const { entry, content } of readTestSet(opened.repository, stored, signal)) {
    if (content) contents.set(entry.path, content)
  }
  return contents
}

async function flipByte(directory: string, object: string, at: number): Promise<void> {
  const path = join(directory, object)
  const bytes = await readFile(path)
  const position = at < 0 ? bytes.length + at : at
  bytes[position] = (bytes[position] ?? 0) ^ 0x10
  await writeFile(path, bytes)
}

test('an unchanged tree stores nothing but its manifest and retires nothing', async () => {
  await using opened = await openTestRepository()
  const first = await writeTestSet(opened, newSet(1, null), randomFiles(1, 200, 70_000), signal)
  const again = randomFiles(1, 200, 70_000).toReversed()
  const second = await writeTestSet(opened, newSet(2, first.stored), again, signal)
  assert.deepEqual(second.packs, [])
  assert.deepEqual(second.retirements, [])
  assert.equal(second.newBytes, 0)
  assert.equal(second.contentBytes, first.contentBytes)
})

test('a changed byte stores one chunk and the pieces above it', async () => {
  await using opened = await openTestRepository()
  const content = pageContent(pseudoRandom(2), 400 * CHUNK)
  const write = (number: number, base: SealedSet | null) =>
    writeTestSet(opened, newSet(number, base?.stored ?? null), [file('big', content)], signal)
  const first = await write(1, null)
  content[200 * CHUNK + 5] = (content[200 * CHUNK + 5] ?? 0) ^ 1
  const second = await write(2, first)
  const counts = (sealed: SealedSet) => sealed.packs.map((pack) => pack.chunkCount).sort()
  // One chunk of data; a map piece of each of two levels and the list's piece.
  assert.deepEqual(counts(second), [1, 3])
  assert.equal(
    second.retirements.reduce((count, row) => count + row.chunkCount, 0),
    4,
  )
})

test('a sparse file of more than one map level grows and shrinks exactly', async () => {
  await using opened = await openTestRepository()
  const zeros = Buffer.alloc(1024 * 1024)
  async function* sparse(lengthBytes: number, mark: string): AsyncIterable<Uint8Array> {
    for (let at = 0; at < lengthBytes; at += zeros.length) {
      const block = zeros.subarray(0, Math.min(zeros.length, lengthBytes - at))
      yield at === 130 * zeros.length
        ? Buffer.concat([Buffer.from(mark), block.subarray(4)])
        : block
    }
  }
  const lengths = [140, 530, 530, 132, 0, 140].map((mebibytes) => mebibytes * zeros.length)
  let base: StoredSet | null = null
  let alive = new Map<string, number>()
  for (const [index, lengthBytes] of lengths.entries()) {
    const content = sparse(lengthBytes, index === 2 ? 'CCCC' : 'AAAA')
    const entry: TreeEntry = { kind: 'file', path: 'sparse', mode: 0o600, content }
    const sealed: SealedSet = await writeTestSet(opened, newSet(index + 1, base), [entry], signal)
    const used = await usedByPack(opened, sealed.stored)
    for (const pack of sealed.packs) alive.set(`${pack.pack}`, pack.chunkBytes)
    for (const { pack, bytes } of sealed.retirements) {
      alive.set(`${pack}`, (alive.get(`${pack}`) ?? 0) - bytes)
    }
    alive = new Map([...alive].filter(([, bytes]) => bytes > 0))
    assert.deepEqual(used, alive)
    base = sealed.stored
  }
  assert.ok(base)
  let restored = 0
  const reader = await opened.repository.readSet(base, signal)
  for await (const entry of reader.entries(signal)) {
    assert.ok(entry.kind === 'file' && entry.lengthBytes === 140 * zeros.length)
    for await (const block of entry.content) restored += block.length
  }
  assert.equal(restored, 140 * zeros.length)
})

async function usedByPack(
  { repository }: TestRepository,
  stored: StoredSet,
): Promise<Map<string, number>> {
  const used = new Map<string, number>()
  for await (const { pack, bytes } of repository.audit(stored, signal)) {
    used.set(`${pack}`, (used.get(`${pack}`) ?? 0) + bytes)
  }
  return used
}

test('a set of many small files restores whole', async () => {
  await using opened = await openTestRepository()
  const sealed = await writeTestSet(opened, newSet(1, null), randomFiles(3, 3000, 90), signal)
  const contents = await restoreAll(opened, sealed.stored)
  const random = pseudoRandom(3)
  for (let index = 0; index < 3000; index += 1) {
    assert.deepEqual(contents.get(`f/${index}`), pageContent(random, 90))
  }
})

test('a set can be written while another one is read into it', async () => {
  await using opened = await openTestRepository()
  const first = await writeTestSet(opened, newSet(1, null), randomFiles(4, 60, 900_000), signal)
  const reader = await opened.repository.readSet(first.stored, signal)
  const copy = await writeTestSet(opened, newSet(2, null), reader.entries(signal), signal)
  assert.deepEqual(await restoreAll(opened, copy.stored), await restoreAll(opened, first.stored))
})

test('a damaged pack makes the restore fail and names the pack', async () => {
  for (const at of [2000, -100, -10, 3, 100]) {
    await using opened = await openTestRepository()
    const sealed = await writeTestSet(opened, newSet(1, null), randomFiles(5, 3, 90_000), signal)
    const object = sealed.packs[0]?.object ?? ''
    await flipByte(opened.directory, object, at)
    await assert.rejects(
      restoreAll(opened, sealed.stored),
      (error) => isFault(error, 'corrupt') && error.message.includes(object),
    )
  }
})

test('a damaged, shortened or lost manifest is named', async () => {
  await using opened = await openTestRepository()
  const { stored } = await writeTestSet(opened, newSet(1, null), randomFiles(6, 3, 90), signal)
  const path = join(opened.directory, stored.manifest)
  const whole = await readFile(path)
  for (const bytes of [whole.subarray(0, 30), whole.subarray(0, -1), Buffer.alloc(0)]) {
    await writeFile(path, bytes)
    await assert.rejects(
      opened.repository.readSet(stored, signal),
      (error) => isFault(error, 'corrupt') && error.message.includes(stored.manifest),
    )
  }
  await writeFile(path, whole)
  await flipByte(opened.directory, stored.manifest, 40)
  await assert.rejects(opened.repository.readSet(stored, signal), (error) =>
    isFault(error, 'corrupt'),
  )
  await rm(path)
  await assert.rejects(opened.repository.readSet(stored, signal), (error) =>
    isFault(error, 'not-found'),
  )
})

test('a pack of a newer format is refused, not called damaged', async () => {
  await using opened = await openTestRepository()
  const sealed = await writeTestSet(opened, newSet(1, null), randomFiles(7, 3, 90_000), signal)
  const path = join(opened.directory, sealed.packs[0]?.object ?? '')
  const bytes = await readFile(path)
  bytes.writeUInt32LE(2, 8)
  await writeFile(path, bytes)
  await assert.rejects(restoreAll(opened, sealed.stored), (error) => isFault(error, 'unfit'))
})

test('a lost pack is told by name', async () => {
  await using opened = await openTestRepository()
  const sealed = await writeTestSet(opened, newSet(1, null), randomFiles(8, 3, 90_000), signal)
  const object = sealed.packs[0]?.object ?? ''
  await opened.repository.removeObjects([object], signal)
  await assert.rejects(
    restoreAll(opened, sealed.stored),
    (error) => isFault(error, 'not-found') && error.message.includes(object),
  )
})

test('a writer that is disposed before its seal leaves only announced objects', async () => {
  await using opened = await openTestRepository()
  const stopped = await opened.repository.writeSet(newSet(1, null), signal)
  for (const entry of randomFiles(9, 90, 900_000)) await stopped.add(entry, signal)
  await stopped[Symbol.asyncDispose]()
  await stopped[Symbol.asyncDispose]()
  const objects = await Array.fromAsync(opened.storage.list('series/', signal))
  for (const { name } of objects) assert.ok(opened.ledger.announced.includes(name), name)
  await opened.repository.removeObjects(opened.ledger.announced, signal)
  assert.deepEqual(await readdir(opened.directory), ['repository.json'])
})

test('an aborted writer stops with the reason and cannot be sealed', async () => {
  await using opened = await openTestRepository()
  const abort = new AbortController()
  await using writer = await opened.repository.writeSet(newSet(1, null), signal)
  async function* endless(): AsyncIterable<Uint8Array> {
    const block = Buffer.alloc(100_000, 'x')
    for (let count = 0; ; count += 1) {
      if (count === 200) abort.abort(new Error('asked to stop'))
      yield block
    }
  }
  const entry: TreeEntry = { kind: 'file', path: 'endless', mode: 0o600, content: endless() }
  await assert.rejects(writer.add(entry, abort.signal), /asked to stop/)
  await assert.rejects(writer.seal(Buffer.alloc(0), signal), /broken invariant/)
})

test('a storage that fails is reported by add or seal, whichever write it was', async () => {
  const error = new Error('the disk is gone')
  for (const nth of [1, 2, 3]) {
    await using opened = await openTestRepository({
      wrap: (storage) => failingStorage(storage, [{ operation: 'write', nth, error }]),
    })
    const written = writeTestSet(opened, newSet(1, null), randomFiles(10, 20, 300_000), signal)
    await assert.rejects(written, /the disk is gone/)
  }
})

test('a path that comes twice, or leaves the tree, is refused', async () => {
  await using opened = await openTestRepository()
  const twice = [file('a', Buffer.from('1')), file('b'), file('a', Buffer.from('2'))]
  await assert.rejects(writeTestSet(opened, newSet(1, null), twice, signal), (error) =>
    isFault(error, 'unfit'),
  )
  const bad = ['', '/etc/passwd', 'a/../b', './a', 'a//b', 'a/', 'nul\0', `${'x'.repeat(5000)}`]
  for (const [index, path] of bad.entries()) {
    await assert.rejects(
      writeTestSet(opened, newSet(index + 2, null), [file(path)], signal),
      (error) => isFault(error, 'unfit'),
      path,
    )
  }
})

test('a reader may be left at any time', async () => {
  await using opened = await openTestRepository()
  const sealed = await writeTestSet(opened, newSet(1, null), randomFiles(11, 40, 900_000), signal)
  const reader = await opened.repository.readSet(sealed.stored, signal)
  for await (const entry of reader.entries(signal)) {
    if (entry.kind !== 'file') continue
    for await (const block of entry.content) {
      assert.ok(block.length > 0)
      break
    }
    break
  }
  const abort = new AbortController()
  await assert.rejects(async () => {
    for await (const entry of reader.entries(abort.signal)) {
      if (entry.kind === 'file') await Array.fromAsync(entry.content)
      abort.abort(new Error('asked to stop'))
    }
  }, /asked to stop/)
})

test('a content that is passed over is a mistake of the caller, told at once', async () => {
  await using opened = await openTestRepository()
  const sealed = await writeTestSet(opened, newSet(1, null), randomFiles(12, 3, 90), signal)
  const reader = await opened.repository.readSet(sealed.stored, signal)
  await assert.rejects(Array.fromAsync(reader.entries(signal)), /broken invariant/)
})

test('a repository is made once and keeps its identity', async () => {
  await using opened = await openTestRepository()
  const again = await Promise.all([
    initialiseRepository(opened.storage, randomUUID(), signal),
    initialiseRepository(opened.storage, randomUUID(), signal),
  ])
  for (const header of again) {
    assert.equal(header.repositoryId, opened.repository.id)
    assert.equal(header.objectBytes, await opened.storage.size(header.name, signal))
  }
  await using fresh = await openFileStorage(join(opened.directory, '..', 'fresh'))
  const id = randomUUID()
  assert.equal((await initialiseRepository(fresh, id, signal)).repositoryId, id)
  const path = join(opened.directory, 'repository.json')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace('"formatVersion": 1', '"formatVersion": 2'))
  await assert.rejects(initialiseRepository(opened.storage, randomUUID(), signal), (error) =>
    isFault(error, 'unfit'),
  )
  await writeFile(path, text.slice(1))
  await assert.rejects(initialiseRepository(opened.storage, randomUUID(), signal), (error) =>
    isFault(error, 'corrupt'),
  )
})

test('nothing is removed or written while the storage is not mounted, or another one is', async () => {
  await using opened = await openTestRepository()
  const { stored } = await writeTestSet(opened, newSet(1, null), randomFiles(13, 3, 90), signal)
  const { directory, repository } = opened
  const away = `${directory}-away`
  const assertUntouched = async (kind: FaultKind): Promise<void> => {
    const refused = (error: unknown) => isFault(error, kind) && /mounted/.test(error.hint ?? '')
    await assert.rejects(repository.removeObjects([stored.manifest], signal), refused)
    await assert.rejects(repository.writeSet(newSet(2, null), signal), refused)
  }
  await rename(directory, away)
  await assertUntouched('not-found')
  await mkdir(directory)
  await assertUntouched('not-found')
  await initialiseRepository(opened.storage, randomUUID(), signal)
  await assertUntouched('unfit')
  await rm(directory, { recursive: true })
  await rename(away, directory)
  assert.equal((await restoreAll(opened, stored)).size, 3)
  await repository.removeObjects([stored.manifest], signal)
  assert.equal(await opened.storage.size(stored.manifest, signal), null)
})
