import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { DAY_MS, HOUR_MS, type Instant, instant } from '../base/clock.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import { judgeSet } from '../domain/deletion.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { makeTestInstance, makeTestSet } from '../testing/catalogue-sets.ts'
import { countSetsBegun, keptSets } from './backup-sets.ts'
import { type Catalogue, sqlOf } from './database.ts'
import { deleteSets, endWindows, listDeletedSets, purgeNext, undeleteSets } from './deletions.ts'
import { insertHold } from './holds.ts'
import { lockInstance, updatePolicy } from './instances.ts'
import { keptSetsOf } from './kept-sets.ts'
import { namedSets } from './members.ts'

const START = instant(1_800_000_000_000)

let opened: TestCatalogue
let catalogue: Catalogue

before(async () => {
  opened = await openTestCatalogue('deletions')
  catalogue = opened.catalogue
})

after(async () => {
  await opened[Symbol.asyncDispose]()
})

const at = (ms: number): Instant => instant(START + ms)

async function withSets(count: number) {
  const instance = await makeTestInstance(catalogue, START)
  const sets: BackupSetId[] = []
  for (let day = 0; day < count; day += 1) {
    sets.push(await makeTestSet(catalogue, instance, at(day * DAY_MS)))
  }
  const [first] = sets
  assert.ok(first !== undefined)
  return { instance, sets, first }
}

const remove = (
  instance: InstanceId,
  sets: readonly BackupSetId[],
  deletedAt: Instant,
  windowMs: number,
) =>
  catalogue.transaction((tx) =>
    deleteSets(tx, instance, sets, {
      ...{
        cause: 'by-hand',
        requestId: null,
        deletedAt,
        purgeAfter: instant(deletedAt + windowMs),
      },
      actor: { accessKeyId: 'k', user: 'u', address: null },
    }),
  )

async function kept(instance: InstanceId): Promise<readonly BackupSetId[]> {
  const sets = await catalogue.transaction((tx) => keptSets(tx, instance, START))
  return sets.map((set) => set.id).toReversed()
}

/** Of these sets, those that can still be brought back at that time. */
async function inWindow(instance: InstanceId, sets: readonly BackupSetId[], now: Instant) {
  const page = { offset: 0, limit: 100 }
  const found = await catalogue.transaction((tx) => listDeletedSets(tx, instance, null, now, page))
  const ids = found.sets.map((set) => set.id)
  return sets.filter((id) => ids.includes(id))
}

const decide = (instance: InstanceId, now: Instant) =>
  catalogue.transaction((tx) => purgeNext(tx, instance, now))

test('U7: a set can be brought back until the last millisecond of its window, and is purged from the next on', async () => {
  const { instance, first } = await withSets(2)
  await remove(instance, [first], at(0), HOUR_MS)
  assert.deepEqual(await inWindow(instance, [first], at(HOUR_MS - 1)), [first])
  assert.equal(await decide(instance, at(HOUR_MS - 1)), null)
  assert.deepEqual(await inWindow(instance, [first], at(HOUR_MS)), [])
  assert.deepEqual((await decide(instance, at(HOUR_MS)))?.setIds, [first])
})

test('U9: each deletion keeps the window that it was given, whatever later ones get', async () => {
  const { instance, sets } = await withSets(3)
  const [first, second] = sets as [BackupSetId, BackupSetId]
  await remove(instance, [first], at(0), 2 * HOUR_MS)
  await remove(instance, [second], at(1), 0)
  assert.deepEqual(await inWindow(instance, [first, second], at(HOUR_MS)), [first])
  assert.deepEqual((await decide(instance, at(HOUR_MS)))?.setIds, [second])
  assert.equal(await decide(instance, at(HOUR_MS)), null)
})

test('U10: without a window a set cannot be brought back, not even in the same millisecond', async () => {
  const { instance, first } = await withSets(2)
  await remove(instance, [first], at(0), 0)
  assert.deepEqual(await inWindow(instance, [first], at(0)), [])
  const undelete = catalogue.transaction((tx) => undeleteSets(tx, instance, [first], at(0)))
  await assert.rejects(undelete, /every named set is in its window/)
})

test('T3: a clock that steps back reopens a window that is over as long as nothing was purged', async () => {
  const { instance, first } = await withSets(2)
  await remove(instance, [first], at(0), HOUR_MS)
  assert.deepEqual(await inWindow(instance, [first], at(2 * HOUR_MS)), [])
  assert.deepEqual(await inWindow(instance, [first], at(HOUR_MS - 1)), [first])
  assert.deepEqual((await decide(instance, at(2 * HOUR_MS)))?.setIds, [first])
  assert.deepEqual(await inWindow(instance, [first], at(0)), [])
})

test('T3: sets that are stamped in the future count for no day', async () => {
  const { instance } = await withSets(3)
  const begun = (from: number, until: number) =>
    catalogue.transaction((tx) => countSetsBegun(tx, instance, at(from), at(until)))
  // A set here began a day before it ended.
  assert.equal(await begun(-DAY_MS, 0), 2)
  assert.equal(await begun(-DAY_MS, -1), 1)
  assert.equal(await begun(-10 * DAY_MS, 10 * DAY_MS), 3)
})

test('a catalogue that cannot grow is a full disk, and nothing has changed', async () => {
  const { instance, first } = await withSets(1)
  const full = catalogue.transaction(async (tx) => {
    await deleteSets(tx, instance, [first], {
      ...{ cause: 'by-hand', requestId: null, deletedAt: START, purgeAfter: at(DAY_MS) },
      actor: { accessKeyId: 'k', user: 'u', address: null },
    })
    await sql`do $$ begin raise exception 'no room' using errcode = 'disk_full'; end $$`.execute(
      sqlOf(tx),
    )
  })
  await assert.rejects(full, { name: 'Fault', kind: 'no-space' })
  const kept = await catalogue.transaction((tx) => keptSets(tx, instance, START))
  assert.deepEqual(
    kept.map((set) => set.id),
    [first],
  )
})

test('T4: a policy changed in the same millisecond counts for what is asked after it, and not before', async () => {
  const { instance, first } = await withSets(1)
  const now = at(10 * DAY_MS)
  const judge = () =>
    catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, instance)
      assert.ok(found)
      const [set = null] = await namedSets(tx, instance, [first], now)
      const kept = await keptSetsOf(tx, found, 1, now)
      return judgeSet({ ...found, id: String(first), set, kept, now }, 'by-hand').refusal?.rule
    })
  const allow = (allowManualDelete: boolean) =>
    catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, instance)
      assert.ok(found)
      await updatePolicy(tx, instance, { ...found.policy, allowManualDelete }, at(0))
    })
  assert.equal(await judge(), 'category-supported')
  await allow(true)
  assert.equal(await judge(), undefined)
  await allow(false)
  assert.equal(await judge(), 'category-supported')
})

test('I7: a purge is decided once for each set, and nothing brings the set back afterwards', async () => {
  const { instance, first, sets } = await withSets(2)
  await remove(instance, [first], at(0), HOUR_MS)
  await catalogue.transaction((tx) => endWindows(tx, instance, [first]))
  // Not even for a clock that has stepped back.
  const early = catalogue.transaction((tx) => undeleteSets(tx, instance, [first], at(-1)))
  await assert.rejects(early, /every named set is in its window/)
  assert.deepEqual((await decide(instance, at(1)))?.setIds, [first])
  assert.equal(await decide(instance, at(DAY_MS)), null)
  const undelete = catalogue.transaction((tx) => undeleteSets(tx, instance, [first], at(1)))
  await assert.rejects(undelete, /every named set is in its window/)
  assert.deepEqual(await kept(instance), sets.slice(1))
})

test('D22, I11: nothing that names sets of one instance touches sets of another', async () => {
  const one = await withSets(2)
  const other = await withSets(2)
  await assert.rejects(remove(one.instance, [other.first], at(0), HOUR_MS), /is still kept/)
  await remove(other.instance, [other.first], at(0), HOUR_MS)
  for (const act of [undeleteSets, endWindows]) {
    await assert.rejects(
      catalogue.transaction((tx) => act(tx, one.instance, [other.first], at(1))),
      /every named set/,
    )
  }
  assert.equal(await decide(one.instance, at(DAY_MS)), null)
  assert.deepEqual(await kept(one.instance), one.sets)
  assert.deepEqual(await inWindow(other.instance, [other.first], at(1)), [other.first])
})

test('H3: a hold counts until the millisecond before its end, each of several by itself', async () => {
  const { instance, first } = await withSets(1)
  for (const [reason, until] of [
    ['short', at(10)],
    ['long', at(20)],
    ['open', null],
  ] as const) {
    await catalogue.transaction((tx) =>
      insertHold(tx, {
        ...{ instanceId: instance, setId: first, reason, accessKeyId: 'k', user: 'u' },
        ...{ address: 'a', heldAt: START, until },
      }),
    )
  }
  const reasons = async (now: Instant) => {
    const [set] = await catalogue.transaction((tx) => namedSets(tx, instance, [first], now))
    return set?.holds.map((hold) => hold.reason)
  }
  assert.deepEqual(await reasons(at(9)), ['short', 'long', 'open'])
  assert.deepEqual(await reasons(at(10)), ['long', 'open'])
  assert.deepEqual(await reasons(at(20)), ['open'])
})

test('E4: with logs the anchor is the newest set from which the log window begins', async () => {
  const { instance, sets } = await withSets(4)
  const anchor = (now: Instant) =>
    catalogue.transaction(async (tx) => {
      const found = await lockInstance(tx, instance)
      assert.ok(found)
      return (await keptSetsOf(tx, found, 1, now)).anchorId
    })
  const now = at(9 * DAY_MS)
  assert.equal(await anchor(now), null)
  await catalogue.transaction(async (tx) => {
    const found = await lockInstance(tx, instance)
    assert.ok(found)
    const log = { enabled: true, retentionDays: 7 }
    await updatePolicy(tx, instance, { ...found.policy, dataRetentionDays: 30, log }, at(0))
  })
  assert.equal(await anchor(instant(now - 1)), sets[1])
  assert.equal(await anchor(now), sets[2])
  assert.equal(await anchor(at(7 * DAY_MS - 1)), null)
})
