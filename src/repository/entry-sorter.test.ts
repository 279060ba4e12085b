import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { createEntrySorter } from './entry-sorter.ts'
import type { ListEntry } from './list-entry.ts'
import { comparePaths } from './path-order.ts'

const CHUNK = 16 * 1024

function entriesFor(seed: number, count: number): ListEntry[] {
  const random = pseudoRandom(seed)
  return Array.from({ length: count }, (_, index): ListEntry => {
    const path = `${random.pick(['base', 'ü', '\u{1f418}', '\ufb01'])}/${random.below(1e9)}.${index}`
    if (random.once(3)) return { kind: 'link', path, mode: 0o777, target: `/x/${index}` }
    if (random.once(3)) return { kind: 'directory', path, mode: 0o700 }
    const roots = new Uint8Array(random.bytes(64))
    return { kind: 'file', path, mode: 0o600, lengthBytes: 2 * CHUNK, roots }
  })
}

for (const runBytes of [200, 40_000, 8 * 1024 * 1024]) {
  test(`entries come back sorted when runs have ${runBytes} bytes, and nothing is left`, async () => {
    await using folder = await temporaryFolder('sorter')
    const scratch = join(folder.path, 'scratch')
    const entries = entriesFor(runBytes, 2000)
    {
      await using sorter = createEntrySorter(scratch, CHUNK, runBytes)
      for (const entry of entries) {
        sorter.add(entry)
        await sorter.spill()
      }
      const sorted = await Array.fromAsync(sorter.sorted())
      const expected = entries.toSorted((left, right) =>
        Buffer.compare(Buffer.from(left.path), Buffer.from(right.path)),
      )
      assert.deepEqual(plain(sorted), plain(expected))
    }
    assert.deepEqual(existsSync(scratch) ? await readdir(scratch) : [], [])
  })
}

function plain(entries: readonly ListEntry[]) {
  return entries.map((entry) =>
    entry.kind === 'file' ? { ...entry, roots: Buffer.from(entry.roots).toString('hex') } : entry,
  )
}

test('a path that comes twice is found, in one run or in two', async () => {
  await using folder = await temporaryFolder('sorter')
  for (const runBytes of [1, 1_000_000]) {
    await using sorter = createEntrySorter(folder.path, CHUNK, runBytes)
    for (const path of ['b', 'a', 'b']) {
      sorter.add({ kind: 'directory', path, mode: 0o700 })
      await sorter.spill()
    }
    await assert.rejects(Array.fromAsync(sorter.sorted()), (error) => isFault(error, 'unfit'))
  }
})

test('paths are ordered by their UTF-8 bytes', () => {
  const paths = ['', 'a', 'a/b', 'a-b', 'a.b', 'ab', 'ä', '\ud7ff', '\ue000', '\uffff', '\u{10000}']
  for (const left of paths) {
    for (const right of paths) {
      const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right))
      assert.equal(Math.sign(comparePaths(left, right)), bytes, `${left} ${right}`)
    }
  }
})
