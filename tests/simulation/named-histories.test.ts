import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { sizeOfFiles } from '../../src/base/folder-size.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { pseudoRandom } from '../../src/testing/pseudo-random.ts'
import { History } from './history.ts'
import type { Made } from './history-model.ts'
import type { OpenedParts } from './history-parts.ts'
import { openHistoryParts } from './history-parts.ts'

let parts: OpenedParts

before(async () => {
  parts = await openHistoryParts('named-histories')
})

after(async () => {
  await parts[Symbol.asyncDispose]()
})

const random = pseudoRandom(20261124)
const CHUNK = 16 * 1024

/** A file of one chunk that no earlier state had. */
function fresh(): Uint8Array {
  return random.bytes(CHUNK)
}

async function make(history: History): Promise<Made> {
  const made = await begin(history)
  await history.record(made)
  return made
}

async function begin(history: History): Promise<Made> {
  const made = await history.begin()
  assert.ok(made, 'nothing else is being written')
  return made
}

async function purge(history: History, ...sets: readonly Made[]) {
  const forecast = await history.delete(sets)
  const decided = await history.purge()
  return { forecast, decided }
}

async function settle(history: History): Promise<void> {
  await history.reclaim()
  await history.check()
  await history.restoreAll()
}

test('I8: history C1: a second writer is refused, so a chunk that the newest set reuses lives on', async () => {
  const history = await History.start(parts)
  history.files.set('x', fresh())
  const first = await make(history)
  const second = await begin(history)
  assert.equal(await history.begin(), null)
  await history.record(second)
  const third = await begin(history)
  history.files.set('x', fresh())
  await history.record(third)
  await purge(history, first)
  await settle(history)
  assert.deepEqual([second.state, third.state], ['kept', 'kept'])
})

test('history H1: what a failed attempt wrote is garbage and goes whole', async () => {
  const history = await History.start(parts)
  history.files.set('x', fresh())
  const failed = await begin(history)
  await history.fail(failed)
  const second = await make(history)
  await settle(history)
  assert.equal(await history.storedBytes(), second.sealed.manifestBytes + packBytes(second))
})

test('history H2: after the only set was purged its chunks are garbage, whatever comes next', async () => {
  const history = await History.start(parts)
  history.files.set('x', fresh())
  const first = await make(history)
  const { forecast, decided } = await purge(history, first)
  assert.equal(forecast.freedBytes, decided[0]?.freedBytes)
  assert.equal(forecast.freedBytes, first.sealed.manifestBytes + packBytes(first))
  const second = await make(history)
  await settle(history)
  assert.equal(second.set.base, null)
  assert.equal(await history.storedBytes(), second.sealed.manifestBytes + packBytes(second))
})

test('history H3: a chunk that died in the middle stays dead when its neighbour goes', async () => {
  const history = await History.start(parts)
  await make(history)
  history.files.set('y', fresh())
  const second = await make(history)
  history.files.delete('y')
  const third = await make(history)
  const one = await purge(history, second)
  const two = await purge(history, third)
  assert.ok((one.decided[0]?.releasedBytes ?? 0) > CHUNK)
  assert.ok((two.decided[0]?.releasedBytes ?? 0) < CHUNK)
  await settle(history)
})

test('history H4: what only a purged newest set had retired is open again and is reused', async () => {
  const history = await History.start(parts)
  const x = fresh()
  history.files.set('x', x)
  await make(history)
  history.files.delete('x')
  const second = await make(history)
  const third = await make(history)
  await purge(history, second)
  await purge(history, third)
  history.files.set('x', x)
  const fourth = await make(history)
  assert.ok(fourth.sealed.newBytes < CHUNK, 'x was reused, not stored again')
  history.files.delete('x')
  await make(history)
  await settle(history)
})

test('D24: history H5: a purge that waits for a writer reopens what its set had retired', async () => {
  const history = await History.start(parts)
  const x = fresh()
  history.files.set('x', x)
  await make(history)
  history.files.set('x', fresh())
  const second = await make(history)
  const forecast = await history.delete([second])
  const third = await begin(history)
  assert.deepEqual(await history.purge(), [], 'the base of a writer is pinned')
  await history.fail(third)
  assert.equal((await history.purge())[0]?.freedBytes, forecast.freedBytes)
  history.files.set('x', x)
  const fourth = await make(history)
  assert.ok(fourth.sealed.newBytes < CHUNK, 'x was reused, not stored again')
  await settle(history)
})

test('D24: history H6: a deleted base that its successor outlives gives back what only it used', async () => {
  const history = await History.start(parts)
  history.files.set('x', fresh())
  history.files.set('y', fresh())
  const first = await make(history)
  history.files.set('y', fresh())
  await history.delete([first])
  const second = await begin(history)
  assert.deepEqual(await history.purge(), [])
  await history.record(second)
  const [decided] = await history.purge()
  assert.ok((decided?.releasedBytes ?? 0) > CHUNK)
  await settle(history)
})

test('I6: a batch frees what was foretold, also behind a deletion that has not been purged', async () => {
  const history = await History.start(parts)
  const made: Made[] = []
  for (let index = 0; index < 6; index += 1) {
    for (let file = 0; file < 4; file += 1) {
      if (random.once(2)) history.files.set(`f${file}`, fresh())
    }
    made.push(await make(history))
  }
  const [one, two, three, four] = made as [Made, Made, Made, Made]
  const first = await history.delete([two])
  const second = await history.delete([one, four])
  const third = await history.delete([three])
  const decided = await history.purge()
  assert.deepEqual(
    decided.map((purged) => [purged.releasedBytes, purged.freedBytes]),
    [first, second, third].map((foretold) => [foretold.releasedBytes, foretold.freedBytes]),
  )
  await settle(history)
})

test('I9: a killed rewrite leaves no byte, and its name is never used again', async () => {
  const history = await History.start(parts)
  for (let file = 0; file < 8; file += 1) history.files.set(`f${file}`, fresh())
  const first = await make(history)
  for (let file = 1; file < 8; file += 1) history.files.set(`f${file}`, fresh())
  await make(history)
  await purge(history, first)
  const written: string[] = []
  const killed: Repository = {
    ...parts.repository,
    rewritePack: async ({ to }) => {
      written.push(to.object)
      // As a killed process leaves it: a draft beside the name, or the whole object.
      const path = join(parts.storageDirectory, `${to.object}${written.length === 1 ? '~k' : ''}`)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, 'half')
      throw new Error('killed')
    },
  }
  for (let kill = 0; kill < 2; kill += 1) {
    await assert.rejects(history.runReclaim(new AbortController().signal, killed), /killed/)
  }
  await history.runReclaim(new AbortController().signal)
  assert.equal(new Set(written).size, 2, 'each try has a name of its own')
  await history.check()
  await history.restoreAll()
  const listed = await history.storedBytes()
  assert.equal(
    await sizeOfFiles(join(parts.storageDirectory, `series/${first.set.series}`)),
    listed,
  )
})

function packBytes(made: Made): number {
  return made.sealed.packs.reduce((total, pack) => total + pack.objectBytes, 0)
}
