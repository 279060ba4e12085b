import assert from 'node:assert/strict'
import { mkdir, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { isFault } from './fault.ts'
import type { TreeEntry } from './file-tree.ts'
import { writeTree } from './tree-writer.ts'

const { signal } = new AbortController()

function file(path: string, ...parts: string[]): TreeEntry {
  return { kind: 'file', path, mode: 0o640, content: pieces(parts) }
}

async function* pieces(parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

async function* tree(...entries: TreeEntry[]): AsyncGenerator<TreeEntry> {
  yield* entries
}

describe('a tree that is written', () => {
  it('keeps content, modes, links and empty files', async () => {
    await using folder = await temporaryFolder('tree')
    const target = join(folder.path, 'new', 'tree')
    let bytes = 0
    const entries = tree(
      { kind: 'directory', path: 'a', mode: 0o750 },
      file('a/full', 'first ', 'second'),
      file('a/empty'),
      { kind: 'link', path: 'to', mode: 0o777, target: 'a/full' },
    )
    await writeTree(entries, target, signal, (count) => {
      bytes += count
    })
    assert.equal(await readFile(join(target, 'to'), 'utf8'), 'first second')
    assert.equal(await readlink(join(target, 'to')), 'a/full')
    assert.equal((await stat(join(target, 'a'))).mode & 0o777, 0o750)
    assert.equal((await stat(join(target, 'a/full'))).mode & 0o777, 0o640)
    assert.equal((await stat(join(target, 'a/empty'))).size, 0)
    assert.equal(bytes, 12)
  })

  for (const path of ['../x', '/etc/x', 'a/../../x', 'a//x', './x', '', 'missing/x', 'x\0y']) {
    it(`never takes the path ${JSON.stringify(path)}`, async () => {
      await using folder = await temporaryFolder('tree')
      const entries = tree({ kind: 'directory', path: 'a', mode: 0o700 }, file(path, 'x'))
      await assert.rejects(writeTree(entries, join(folder.path, 'tree'), signal), (error) =>
        isFault(error, 'corrupt'),
      )
    })
  }

  it('never passes through a link to write outside', async () => {
    await using folder = await temporaryFolder('tree')
    const outside = join(folder.path, 'outside')
    await mkdir(outside)
    const link: TreeEntry = { kind: 'link', path: 'out', mode: 0o777, target: outside }
    const target = join(folder.path, 'tree')
    await assert.rejects(writeTree(tree(link, file('out/x', 'x')), target, signal), (error) =>
      isFault(error, 'corrupt'),
    )
    await assert.rejects(stat(join(outside, 'x')), /ENOENT/)
  })

  it('never mixes with what is there already', async () => {
    await using folder = await temporaryFolder('tree')
    await writeFile(join(folder.path, 'old'), '')
    await assert.rejects(writeTree(tree(file('x', 'x')), folder.path, signal), (error) =>
      isFault(error, 'exists'),
    )
  })

  it('never takes the same path twice', async () => {
    await using folder = await temporaryFolder('tree')
    const entries = tree(file('x', 'one'), file('x', 'two'))
    await assert.rejects(writeTree(entries, join(folder.path, 'tree'), signal), (error) =>
      isFault(error, 'exists'),
    )
  })
})
