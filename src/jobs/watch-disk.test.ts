import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiskLow } from '../base/disk-low.ts'
import { SILENT } from '../base/logger.ts'
import { listEvents } from '../catalogue/events.ts'
import { openTestCatalogue } from '../testing/catalogue-server.ts'
import { judgeSpace, watchDisk } from './watch-disk.ts'

const SHARE: DiskLow = { kind: 'percent', percent: 10 }
const AMOUNT: DiskLow = { kind: 'bytes', bytes: 1000 }

const CASES: readonly (readonly [free: number, size: number, low: DiskLow, state: string])[] = [
  [99, 1000, SHARE, 'low'],
  [100, 1000, SHARE, 'between'],
  [109, 1000, SHARE, 'between'],
  [110, 1000, SHARE, 'enough'],
  [999, 10_000, AMOUNT, 'low'],
  [1100, 10_000, AMOUNT, 'enough'],
  // An amount that is nearly all there is can still be passed.
  [1050, 1050, AMOUNT, 'enough'],
  [0, 1000, { kind: 'percent', percent: 0 }, 'enough'],
]

for (const [freeBytes, sizeBytes, low, state] of CASES) {
  const limit = low.kind === 'bytes' ? low.bytes : `${low.percent} %`
  test(`calls ${freeBytes} of ${sizeBytes} free bytes at a limit of ${limit} ${state}`, () => {
    assert.equal(judgeSpace({ freeBytes, sizeBytes }, low).state, state)
  })
}

test('tells once that space is low and once that it is not, one event for one file system', async () => {
  await using opened = await openTestCatalogue('disk')
  const { catalogue, folder } = opened
  const folders = { data: folder.root, storage: folder.scratch }
  const look = (low: DiskLow) => watchDisk(catalogue, folders, low, SILENT)
  const kinds = async () =>
    (await catalogue.transaction((tx) => listEvents(tx, 0))).map(({ kind, details }) => [
      kind,
      details['folder'],
    ])
  const all: DiskLow = { kind: 'percent', percent: 100 }
  await look(all)
  await look(all)
  assert.deepEqual(await kinds(), [['disk-low', 'data']])
  await look({ kind: 'percent', percent: 0 })
  await look({ kind: 'percent', percent: 0 })
  assert.deepEqual(await kinds(), [
    ['disk-low', 'data'],
    ['disk-low-ended', 'data'],
  ])
  await watchDisk(catalogue, { ...folders, storage: `${folder.root}/none` }, all, SILENT)
  assert.equal((await kinds()).length, 2)
})
