import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { SILENT } from '../base/logger.ts'
import { manifestObjectName, packObjectName } from '../series/object-names.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import type { MemoryLedger } from '../testing/memory-ledger.ts'
import { createMemoryLedger } from '../testing/memory-ledger.ts'
import type { TestRepository } from '../testing/open-test-repository.ts'
import {
  newSet,
  openTestRepository,
  readTestSet,
  TEST_SERIES,
  writeTestSet,
} from '../testing/open-test-repository.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { entriesOf, firstTree } from '../testing/tree-history.ts'
import { openCodecPool } from './codec-pool.ts'
import { openRepository } from './open-repository.ts'

const { signal } = new AbortController()
const FOREIGN = Buffer.from('bytes of another service')
const NAMES: Readonly<Record<string, string>> = {
  'a pack of contents': packObjectName(TEST_SERIES, 1 as SetNumber, 1 as PackNumber, 0),
  'a pack of maps and lists': packObjectName(TEST_SERIES, 1 as SetNumber, 2 as PackNumber, 0),
  'a manifest': manifestObjectName(TEST_SERIES, 1 as SetNumber),
}

for (const [what, name] of Object.entries(NAMES)) {
  test(`leaves ${what} alone that has the name already`, async () => {
    await using opened = await openTestRepository()
    await opened.storage.write(name, [FOREIGN], signal)
    await failAndCleanUp(opened, name)
  })

  test(`leaves ${what} alone that takes the name meanwhile`, async () => {
    await using opened = await openTestRepository({
      wrap: (storage) => overtaken(storage, name),
    })
    await failAndCleanUp(opened, name)
  })
}

test('an attempt of a catalogue that forgot a set costs that set nothing, even when stopped', async () => {
  await using opened = await openTestRepository()
  const { stored } = await writeTestSet(opened, newSet(1, null), someEntries(), signal)
  await using codec = openCodecPool({ threads: 1, slots: 2 })
  const options = { scratchDirectory: opened.scratchDirectory, log: SILENT }
  for (const stopping of [false, true]) {
    const stop = new AbortController()
    const forgetful = createMemoryLedger()
    const ledger: MemoryLedger = {
      ...forgetful,
      async announcePacks(set, count, during) {
        const first = await forgetful.announcePacks(set, count, during)
        if (stopping) stop.abort(new Error('asked to stop'))
        return first
      },
    }
    const repository = await openRepository(opened.storage, ledger, codec, options)
    const parts = { repository, ledger }
    await assert.rejects(writeTestSet(parts, newSet(1, null), someEntries(), stop.signal))
    await repository.removeObjects(ledger.announced, signal)
  }
  let count = 0
  for await (const _ of readTestSet(opened.repository, stored, signal)) count += 1
  assert.equal(count, firstTree(pseudoRandom(61)).size)
})

/** What a failed attempt does: whatever is still on record as its own goes. */
async function failAndCleanUp(opened: TestRepository, taken: string): Promise<void> {
  await assertTaken(writeTestSet(opened, newSet(1, null), someEntries(), signal))
  assert.ok(!opened.ledger.announced.includes(taken), 'its record is gone')
  await opened.repository.removeObjects(opened.ledger.announced, signal)
  assert.deepEqual(await readFile(join(opened.directory, taken)), FOREIGN)
  const left = await Array.fromAsync(opened.storage.list('series/', signal))
  assert.deepEqual(
    left.map((object) => object.name),
    [taken],
  )
}

function assertTaken(written: Promise<unknown>): Promise<void> {
  return assert.rejects(written, (error) => isFault(error, 'exists'))
}

/** Another service's write of that name is finished first, after it was seen to be free. */
function overtaken(inner: Storage, taken: string): Storage {
  return {
    async write(name, bytes, during) {
      if (name === taken) await inner.write(name, [FOREIGN], during)
      return inner.write(name, bytes, during)
    },
    readRange: (name, offset, length, during) => inner.readRange(name, offset, length, during),
    size: (name, during) => inner.size(name, during),
    remove: (names, during) => inner.remove(names, during),
    list: (prefix, during) => inner.list(prefix, during),
    listUnfinished: (during) => inner.listUnfinished(during),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  }
}

function someEntries() {
  const random = pseudoRandom(61)
  return entriesOf(firstTree(random), random)
}
