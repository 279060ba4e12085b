import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pseudoRandom } from '../../src/testing/pseudo-random.ts'
import { pageContent } from '../../src/testing/tree-history.ts'
import { History } from './history.ts'
import type { Made } from './history-model.ts'
import { openHistoryParts } from './history-parts.ts'

async function make(history: History): Promise<Made> {
  const made = await history.begin()
  assert.ok(made, 'nothing else is being written')
  await history.record(made)
  return made
}

/** Changes one byte in each of so many chunks of the table, counted from its start. */
function touch(history: History, chunkBytes: number, chunks: number): void {
  const table = Buffer.from(history.files.get('base/table') ?? '')
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    table.writeUInt8(table.readUInt8(chunk * chunkBytes) ^ 1, chunk * chunkBytes)
  }
  history.files.set('base/table', table)
}

for (const kibibytes of [16, 32, 64]) {
  test(`sets with chunks of ${kibibytes} KiB share them, are verified and restored, and give back exactly what was foretold`, async () => {
    const chunkBytes = kibibytes * 1024
    await using parts = await openHistoryParts(`chunks-${kibibytes}`, chunkBytes)
    assert.equal(parts.repository.chunkBytes, chunkBytes)
    const history = await History.start(parts)
    const random = pseudoRandom(kibibytes)
    history.files.set('base/table', pageContent(random, 70 * chunkBytes + 1))
    history.files.set('base/small', pageContent(random, chunkBytes - 1))
    const first = await make(history)
    touch(history, chunkBytes, 45)
    const second = await make(history)
    const [data] = second.sealed.packs
    assert.equal(data?.chunkCount, 45)
    touch(history, chunkBytes, 1)
    await make(history)
    await history.check()
    await history.restoreAll()

    // Of the first set 27 of 72 chunks are still used: its pack is written anew.
    const forecast = await history.delete([first])
    const [decided] = await history.purge()
    assert.equal(decided?.freedBytes, forecast.freedBytes)
    const generations = async () => {
      const names = []
      for await (const { name } of parts.storage.list('series/', new AbortController().signal)) {
        if (/pack-\d+\.1$/.test(name)) names.push(name)
      }
      return names.length
    }
    assert.equal(await generations(), 0)
    await history.reclaim()
    assert.ok((await generations()) > 0)
    await history.check()
    await history.restoreAll()

    await history.delete(history.made.filter(({ state }) => state === 'kept'))
    await history.purge()
    await history.reclaim()
    await history.check()
    assert.equal(await history.storedBytes(), 0)
  })
}
