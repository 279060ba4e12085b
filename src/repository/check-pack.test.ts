import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FaultKind } from '../base/fault.ts'
import { isFault } from '../base/fault.ts'
import type { PackFacts, SetNumber } from '../series/series.ts'
import type { TestRepository } from '../testing/open-test-repository.ts'
import {
  newSet,
  openTestRepository,
  TEST_SERIES,
  writeTestSet,
} from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { entriesOf, firstTree } from '../testing/tree-history.ts'
import type { PackLocation } from './repository.ts'

const { signal } = new AbortController()
const HEADER_BYTES = 448
const FOOTER_BYTES = 64

/** What may have happened to a pack's object, and what is then said of it. */
const DAMAGES: Readonly<Record<string, readonly [(bytes: Buffer) => Buffer, RegExp]>> = {
  'zeros over chunks': [(bytes) => bytes.fill(0, 500, 5000), /chunk 0 of pack .* is damaged/],
  'zeros over the last chunk': [
    (bytes) => bytes.fill(0, indexAt(bytes) - 20, indexAt(bytes)),
    /chunk \d+ of pack .* is damaged/,
  ],
  'zeros everywhere': [(bytes) => bytes.fill(0), /is not a pack/],
  'a flipped bit of the header': [(bytes) => flip(bytes, 200), /header or index .* is damaged/],
  'a flipped bit of the index': [
    (bytes) => flip(bytes, bytes.length - FOOTER_BYTES - 5),
    /header or index .* is damaged/,
  ],
  'a flipped bit of the footer': [
    (bytes) => flip(bytes, bytes.length - 20),
    /header or index .* is damaged/,
  ],
  'an end that is lost': [(bytes) => bytes.subarray(0, -1), /has \d+ bytes instead of \d+/],
  'bytes after its end': [
    (bytes) => Buffer.concat([bytes, Buffer.from('x')]),
    /has \d+ bytes instead of \d+/,
  ],
}

for (const [damage, [hurt, problem]] of Object.entries(DAMAGES)) {
  test(`finds ${damage}, and names the object`, async () => {
    await using opened = await openTestRepository()
    for (const pack of await writePacks(opened)) {
      const path = join(opened.directory, pack.object)
      await writeFile(path, hurt(await readFile(path)))
      await assertFault(check(opened, pack), 'corrupt', pack.object, problem)
    }
  })
}

test('finds nothing wrong with what was written, and misses what is gone', async () => {
  await using opened = await openTestRepository()
  for (const pack of await writePacks(opened)) {
    await check(opened, pack)
    await rm(join(opened.directory, pack.object))
    await assertFault(check(opened, pack), 'not-found', pack.object, /is gone/)
  }
})

test('finds bytes that belong to no chunk, though header and index are whole', async () => {
  await using opened = await openTestRepository()
  for (const pack of await writePacks(opened)) {
    const path = join(opened.directory, pack.object)
    const bytes = await readFile(path)
    const parts = [bytes.subarray(0, indexAt(bytes)), 'stray', bytes.subarray(indexAt(bytes))]
    await writeFile(path, Buffer.concat(parts.map((part) => Buffer.from(part))))
    const longer = { ...pack, objectBytes: pack.objectBytes + 5 }
    await assertFault(check(opened, longer), 'corrupt', pack.object, /do not make its length/)
  }
})

test('tells a whole pack that lies under the name of another one', async () => {
  await using opened = await openTestRepository()
  const [pack] = await writePacks(opened)
  assert.ok(pack)
  const others: readonly [Partial<PackLocation & PackFacts>, RegExp][] = [
    [{ pack: 9 as PackFacts['pack'] }, /has pack 1 instead of 9/],
    [{ born: 3 as SetNumber }, /has born 1 instead of 3/],
    [{ generation: 1 }, /has generation 0 instead of 1/],
  ]
  for (const [other, problem] of others) {
    await assertFault(check(opened, { ...pack, ...other }), 'corrupt', pack.object, problem)
  }
})

async function writePacks(opened: TestRepository): Promise<readonly PackFacts[]> {
  const random = pseudoRandom(51)
  const entries = entriesOf(firstTree(random), random)
  const { packs } = await writeTestSet(opened, newSet(1, null), entries, signal)
  assert.equal(packs.length, 2, 'one of data, one of maps and lists')
  return packs
}

function check(
  { repository }: TestRepository,
  pack: PackFacts & Partial<PackLocation>,
): Promise<void> {
  const location: PackLocation = { born: 1 as SetNumber, generation: 0, ...pack }
  return repository.checkPack(TEST_SERIES, pack.pack, location, signal)
}

async function assertFault(
  checked: Promise<void>,
  kind: FaultKind,
  object: string,
  problem: RegExp,
): Promise<void> {
  await assert.rejects(checked, (error) => {
    assert.ok(isFault(error, kind), String(error))
    assert.ok(error.message.includes(object), error.message)
    assert.match(error.message, problem)
    return true
  })
}

function indexAt(bytes: Buffer): number {
  return bytes.length - FOOTER_BYTES - 32 * bytes.readUInt32LE(bytes.length - FOOTER_BYTES)
}

function flip(bytes: Buffer, at: number): Buffer {
  assert.ok(at < HEADER_BYTES || at >= indexAt(bytes), 'a place outside the chunks')
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return bytes
}
