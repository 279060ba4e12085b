import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY_MS, HOUR_MS, type Instant, instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import { SILENT } from '../base/logger.ts'
import { keptSets } from '../catalogue/backup-sets.ts'
import { undeleteSets } from '../catalogue/deletions.ts'
import { listEvents } from '../catalogue/events.ts'
import { insertHold, releaseHold } from '../catalogue/holds.ts'
import { lockInstance, releaseInstance, updatePolicy } from '../catalogue/instances.ts'
import { openQueue, type Queue } from '../catalogue/queue.ts'
import type { BackupPolicy } from '../domain/instance.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { makeTestInstance, makeTestSet } from '../testing/catalogue-sets.ts'
import { testChain } from '../testing/receipt-parts.ts'
import { expireSets } from './expire-sets.ts'

const START = instant(1_800_000_000_000)
const NEVER = new AbortController().signal

let opened: TestCatalogue
let queue: Queue

before(async () => {
  opened = await openTestCatalogue('expire-sets')
  queue = await openQueue(opened.catalogue, SILENT, false)
})

after(async () => {
  await queue[Symbol.asyncDispose]()
  await opened[Symbol.asyncDispose]()
})

const at = (days: number, ms = 0): Instant => instant(START + days * DAY_MS + ms)

/** One look of the duty at that time. */
async function look(now: Instant): Promise<void> {
  const clock = { now: () => now, refresh: async () => {} }
  const { catalogue } = opened
  const needs = { catalogue, queue, clock, receipts: testChain(), undeleteWindowMs: HOUR_MS }
  await expireSets(needs, SILENT, NEVER)
}

/** An instance with sets that finished on these days, oldest first. */
async function withSets(...days: readonly number[]) {
  const instance = await makeTestInstance(opened.catalogue, START)
  const sets: BackupSetId[] = []
  for (const day of days) sets.push(await makeTestSet(opened.catalogue, instance, at(day)))
  return { instance, sets }
}

async function kept(instance: InstanceId): Promise<readonly BackupSetId[]> {
  const sets = await opened.catalogue.transaction((tx) => keptSets(tx, instance, START))
  return sets.map((set) => set.id).toReversed()
}

async function changePolicy(instance: InstanceId, change: Partial<BackupPolicy>): Promise<void> {
  await opened.catalogue.transaction(async (tx) => {
    const found = await lockInstance(tx, instance)
    assert.ok(found)
    await updatePolicy(tx, instance, { ...found.policy, ...change }, START)
  })
}

async function toldOf(instance: InstanceId): Promise<readonly string[]> {
  const events = await opened.catalogue.transaction((tx) => listEvents(tx, 0))
  return events.filter((event) => event.instanceId === instance).map(({ kind }) => kind)
}

test('E1, E7: a set of exactly the retention stays, one of a millisecond more expires', async () => {
  const { instance, sets } = await withSets(0, 6)
  await look(at(7))
  assert.deepEqual(await kept(instance), sets)
  await look(at(7, 1))
  assert.deepEqual(await kept(instance), sets.slice(1))
})

test('E2: nothing expires where backups stopped succeeding: told once, and once that it goes on', async () => {
  const { instance, sets } = await withSets(0, 1)
  await look(at(30))
  await look(at(31))
  assert.deepEqual(await kept(instance), sets)
  assert.deepEqual(await toldOf(instance), ['expiry-stopped'])
  const last = await makeTestSet(opened.catalogue, instance, at(31))
  await look(at(31))
  assert.deepEqual(await kept(instance), [last])
  assert.deepEqual(await toldOf(instance), ['expiry-stopped', 'expiry-stopped-ended'])
})

test('E3: the newest good set stays, however old', async () => {
  const { instance, sets } = await withSets(0)
  await changePolicy(instance, { preferredPeriod: ['Monday'] })
  await look(at(7, 1))
  assert.deepEqual(await kept(instance), sets)
})

test('P1: a held set stays; it expires when the hold is released or has ended', async () => {
  const { instance, sets } = await withSets(0, 0, 6, 7)
  const [first, second] = sets
  const hold = (setId: BackupSetId | undefined, until: Instant | null) =>
    opened.catalogue.transaction((tx) =>
      insertHold(tx, {
        ...{ instanceId: instance, setId: setId as BackupSetId, reason: 'r', accessKeyId: 'k' },
        ...{ user: 'u', address: 'a', heldAt: START, until },
      }),
    )
  const open = await hold(first, null)
  await hold(second, at(8))
  await look(at(8, -1))
  assert.deepEqual(await kept(instance), sets)
  await look(at(8))
  assert.deepEqual(await kept(instance), [first, ...sets.slice(2)])
  await opened.catalogue.transaction((tx) => releaseHold(tx, instance, open, at(8)))
  await look(at(8))
  assert.deepEqual(await kept(instance), sets.slice(2))
})

test('P2: as many sets stay as MinimumBackupSets says; the oldest go first', async () => {
  const { instance, sets } = await withSets(0, 1, 2, 9)
  await changePolicy(instance, { minimumBackupSets: 3 })
  await look(at(10))
  assert.deepEqual(await kept(instance), sets.slice(1))
  await changePolicy(instance, { minimumBackupSets: null })
  await look(at(10))
  assert.deepEqual(await kept(instance), sets.slice(3))
})

test('E7, U3: a set that expired and was undeleted is kept for the retention again', async () => {
  const { instance, sets } = await withSets(0, 6)
  const [first] = sets
  await look(at(8))
  assert.deepEqual(await kept(instance), sets.slice(1))
  const now = at(8, 1)
  await opened.catalogue.transaction((tx) =>
    undeleteSets(tx, instance, [first as BackupSetId], now),
  )
  await makeTestSet(opened.catalogue, instance, at(14))
  await look(at(15, 1))
  assert.ok((await kept(instance)).includes(first as BackupSetId))
  await look(at(15, 2))
  assert.ok(!(await kept(instance)).includes(first as BackupSetId))
})

test('E7, R1: the sets of a released instance expire too, counted from the release at the earliest', async () => {
  const { instance, sets } = await withSets(0, 12)
  await opened.catalogue.transaction((tx) => releaseInstance(tx, instance, at(10)))
  await look(at(17))
  assert.deepEqual(await kept(instance), sets)
  await look(at(17, 1))
  assert.deepEqual(await kept(instance), sets.slice(1))
  await look(at(19, 1))
  assert.deepEqual(await kept(instance), [])
  assert.deepEqual(await toldOf(instance), [])
})

test('E6: more than one batch of sets expires at one look', async () => {
  const days = Array.from({ length: 230 }, () => 0)
  const { instance, sets } = await withSets(...days, 6)
  await look(at(8))
  assert.deepEqual(await kept(instance), sets.slice(-1))
})
