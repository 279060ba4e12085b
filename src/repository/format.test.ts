import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { newSet, openTestRepository, writeTestSet } from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { changeTree, entriesOf, firstTree } from '../testing/tree-history.ts'

/*
 * A second reader, written from docs/formats/repository.md alone. It shares no code with the first.
 */

interface Cursor {
  readonly bytes: Buffer
  at: number
}

function number(cursor: Cursor): number {
  let value = 0
  for (let factor = 1; ; factor *= 128) {
    const byte = cursor.bytes.readUInt8(cursor.at++)
    value += (byte & 127) * factor
    if (byte < 128) return value
  }
}

function take(cursor: Cursor, length: number): Buffer {
  cursor.at += length
  return cursor.bytes.subarray(cursor.at - length, cursor.at)
}

const text = (cursor: Cursor): string => take(cursor, number(cursor)).toString('utf8')
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

function openFiles(directory: string) {
  const header = JSON.parse(readFileSync(join(directory, 'repository.json'), 'utf8'))
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })

  /** The raw bytes behind a 32-byte reference. */
  function chunk(reference: Buffer, rawBytes: number): Buffer {
    const suffix = `/pack-${reference.readUInt32LE(0)}.0`
    const pack = readFileSync(join(directory, names.find((name) => name.endsWith(suffix)) ?? ''))
    assert.equal(pack.readUInt32LE(64), header.chunkBytes)
    const footer = pack.subarray(-64)
    const count = footer.readUInt32LE(0)
    const index = pack.subarray(-64 - 32 * count, -64)
    assert.deepEqual(footer.subarray(8, 40), sha256(Buffer.concat([pack.subarray(0, 448), index])))
    let offset = 448
    for (let row = 0; row < count; row += 1) {
      const at = row * 32
      const stored = pack.subarray(offset, offset + index.readUInt32LE(at + 4))
      offset += stored.length
      if (index.readUInt32LE(at) !== reference.readUInt32LE(4)) continue
      assert.equal(stored.length, reference.readUInt32LE(8))
      assert.equal(index.readUInt32LE(at + 8), rawBytes)
      assert.deepEqual(index.subarray(at + 16, at + 32), sha256(stored).subarray(0, 16))
      const raw = index.readUInt32LE(at + 12) === 1 ? zstdDecompressSync(stored) : stored
      const hash = createHmac('sha256', Buffer.from(header.hashKey, 'hex')).update(raw).digest()
      assert.deepEqual(hash.subarray(0, 20), reference.subarray(12, 32))
      return raw
    }
    throw new Error(`no chunk ${reference.readUInt32LE(4)}`)
  }

  function content(lengthBytes: number, roots: Buffer, counts: readonly number[]): Buffer {
    let references = roots
    for (let level = counts.length - 1; level >= 0; level -= 1) {
      const below: Buffer[] = []
      for (let index = 0; index < (counts[level] ?? 0); index += 1) {
        const whole = level === 0 ? lengthBytes : (counts[level - 1] ?? 0) * 32
        const unit = level === 0 ? header.chunkBytes : 64 * 32
        const rawBytes = Math.min(unit, whole - index * unit)
        below.push(chunk(references.subarray(index * 32, index * 32 + 32), rawBytes))
      }
      references = Buffer.concat(below)
    }
    return references
  }

  return { header, chunk, content }
}

function shape(lengthBytes: number, chunkBytes: number): number[] {
  const counts = [Math.ceil(lengthBytes / chunkBytes)]
  for (let last = counts[0] ?? 0; last > 4; counts.push(last)) last = Math.ceil(last / 64)
  return counts
}

for (const chunkBytes of [4096, 16_384, 32_768, 65_536]) {
  test(`the format is what its document says: a second reader restores the same tree, with chunks of ${chunkBytes} bytes`, async () => {
    await using opened = await openTestRepository({ chunkBytes })
    const { signal } = new AbortController()
    const random = pseudoRandom(77)
    const before = firstTree(random)
    const tree = changeTree(before, random)
    const first = await writeTestSet(opened, newSet(1, null), entriesOf(before, random), signal)
    const next = newSet(2, first.stored)
    const sealed = await writeTestSet(opened, next, entriesOf(tree, random), signal)

    const files = openFiles(opened.directory)
    const manifest = readFileSync(join(opened.directory, 'series/7/2/manifest'))
    assert.equal(manifest.toString('latin1', 0, 8), 'HFMANIF\n')
    const end = 24 + manifest.readUInt32LE(20)
    assert.deepEqual(manifest.subarray(end), sha256(manifest.subarray(0, end)))
    const body: Cursor = { bytes: zstdDecompressSync(manifest.subarray(24, end)), at: 0 }
    assert.equal(body.bytes.length, manifest.readUInt32LE(16))
    assert.equal(take(body, 16).toString('hex'), files.header.repositoryId.replaceAll('-', ''))
    const facts = Array.from({ length: 6 }, () => number(body))
    assert.deepEqual(facts, [7, 2, 1002, 1, sealed.contentBytes, tree.size])
    assert.equal(text(body), 'set 2')
    for (let packs = number(body); packs > 0; packs -= 1) take4(body)
    const found = new Map<string, string>()
    for (let pieces = number(body); pieces > 0; pieces -= 1) {
      const firstPath = text(body)
      const rawBytes = number(body)
      const list: Cursor = { bytes: files.chunk(take(body, 32), rawBytes), at: 0 }
      assert.equal(text({ ...list }), firstPath)
      while (list.at < list.bytes.length) {
        const path = text(list)
        const kind = number(list)
        const mode = number(list).toString(8)
        if (kind === 2) found.set(path, `link ${mode} ${text(list)}`)
        else if (kind === 0) found.set(path, `directory ${mode}`)
        else {
          const lengthBytes = number(list)
          const counts = shape(lengthBytes, files.header.chunkBytes)
          const roots = take(list, 32 * (counts.at(-1) ?? 0))
          const content = files.content(lengthBytes, roots, counts)
          found.set(path, `file ${mode} ${sha256(content).toString('hex')}`)
        }
      }
    }
    assert.equal(body.at, body.bytes.length)
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(described()))

    function described(): Map<string, string> {
      const expected = new Map<string, string>()
      for (const [path, node] of tree) {
        const mode = node.mode.toString(8)
        if (node.kind === 'directory') expected.set(path, `directory ${mode}`)
        else if (node.kind === 'link') expected.set(path, `link ${mode} ${node.target}`)
        else expected.set(path, `file ${mode} ${sha256(node.content).toString('hex')}`)
      }
      return expected
    }
  })
}

function take4(cursor: Cursor): void {
  for (let field = 0; field < 4; field += 1) number(cursor)
}
