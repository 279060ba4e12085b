import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Work } from '../../bench/counted-work.ts'
import { totals } from '../../bench/counted-work.ts'
import { FilledCatalogue } from '../../bench/filled-catalogue.ts'
import { firstFree } from '../../bench/made-up-history.ts'
import { DAY_MS, HOUR_MS, instant } from '../../src/base/clock.ts'
import type { InstanceId } from '../../src/base/ids.ts'
import { SILENT } from '../../src/base/logger.ts'
import { countWrongSums } from '../../src/catalogue/audit.ts'
import { instancesPastRetention } from '../../src/catalogue/automatic.ts'
import type { Transaction } from '../../src/catalogue/database.ts'
import { instancesDueForPurge, purgeNext } from '../../src/catalogue/deletions.ts'
import { lockInstance, updatePolicy } from '../../src/catalogue/instances.ts'
import { isJobQueued, openJobs } from '../../src/catalogue/jobs.ts'
import {
  abandonRewrites,
  instancesDueForReclaim,
  settlePurges,
} from '../../src/catalogue/reclaim.ts'
import { expireSets } from '../../src/jobs/expire-sets.ts'
import { DeleteBackup } from '../../src/operations/delete-backup.ts'
import { DescribeDeletedBackups } from '../../src/operations/describe-deleted-backups.ts'
import { PreviewDeleteBackup } from '../../src/operations/preview-delete-backup.ts'
import { PurgeDeletedBackup } from '../../src/operations/purge-deleted-backup.ts'
import { UndeleteBackup } from '../../src/operations/undelete-backup.ts'
import { openTestCatalogue, type TestCatalogue } from '../../src/testing/catalogue-server.ts'

const NOW = instant(1_800_000_000_000)
const NEVER = new AbortController().signal
const SHORT = 500
const LONG = 4000
const INSTANCE = 'pgm-00000000000long1' as InstanceId
/** Few enough rows for a test, many more than a plan that reads them could hide. */
const WORKLOAD = { basePacks: 8, rowsPerSet: 20 }
/** Of these there is one row for each instance, or for each set that is being read or written. */
const SMALL = new Set(['instance', 'series', 'pin', 'receipt_head'])

let server: TestCatalogue
const filled = new Map<number, FilledCatalogue>()

before(async () => {
  server = await openTestCatalogue('delete-plans')
  for (const sets of [SHORT, LONG]) {
    const made = await FilledCatalogue.create(server.catalogue.connection, `sets_${sets}`, NOW)
    filled.set(sets, made)
    await made.insert({ instanceId: INSTANCE, sets, state: 'kept', workload: WORKLOAD })
    const waiting = { sets, state: 'deleted', workload: WORKLOAD } as const
    await made.insert({ instanceId: 'pgm-00000000waiting1', ...waiting })
    await made.vacuum()
    assert.equal(await made.catalogue.transaction(countWrongSums), 0)
  }
})

after(async () => {
  for (const made of filled.values()) await made[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function setsRead({ tables }: Work): number {
  return tables.find(({ table }) => table === 'backup_set')?.read ?? 0
}

function itemsOf(reply: Readonly<Record<string, unknown>>): readonly unknown[] {
  return (reply['Items'] as { DeletedBackup: readonly unknown[] }).DeletedBackup
}

type Act = (made: FilledCatalogue, ids: readonly number[]) => Promise<unknown>

/** Sets of the same places before the newest one, so that a longer history only lies before them. */
async function pick(made: FilledCatalogue, which: keyof typeof PLACES): Promise<readonly number[]> {
  const free = await made.freeSets(INSTANCE)
  return PLACES[which].map((place) => free.at(-place) ?? 0)
}

const PLACES = {
  'one set': [201],
  '100 scattered sets': Array.from({ length: 100 }, (_, index) => 5 + 4 * index),
  '100 neighbours': Array.from({ length: 100 }, (_, index) => 150 + index),
  'the newest set': [1],
} as const

const deleteThem: Act = (made, ids) => made.ask(DeleteBackup, INSTANCE, ids, DAY_MS)

const ACTS: readonly { readonly name: string; readonly before?: Act; readonly act: Act }[] = [
  {
    name: 'PreviewDeleteBackup',
    act: (made, ids) => made.ask(PreviewDeleteBackup, INSTANCE, ids, DAY_MS),
  },
  { name: 'DeleteBackup', act: deleteThem },
  {
    name: 'DeleteBackup without an undelete window',
    act: (made, ids) => made.ask(DeleteBackup, INSTANCE, ids, 0),
  },
  {
    name: 'UndeleteBackup',
    before: deleteThem,
    act: (made, ids) => made.ask(UndeleteBackup, INSTANCE, ids, DAY_MS),
  },
  {
    name: 'PurgeDeletedBackup',
    before: deleteThem,
    act: (made, ids) => made.ask(PurgeDeletedBackup, INSTANCE, ids, DAY_MS),
  },
  {
    name: 'the decision of a purge',
    before: (made, ids) => made.ask(DeleteBackup, INSTANCE, ids, 0),
    act: decidePurge,
  },
]

function decidePurge(made: FilledCatalogue): Promise<void> {
  return made.rehearse(async (tx) => {
    await lockInstance(tx, INSTANCE)
    assert.ok(await purgeNext(tx, INSTANCE, NOW))
  })
}

async function workOf(sets: number, act: (made: FilledCatalogue) => Promise<unknown>) {
  const made = filled.get(sets)
  assert.ok(made)
  const work = await made.count(() => act(made))
  assertNoScan(work, `with ${sets} sets`)
  return work
}

function assertNoScan({ tables }: Work, when: string): void {
  const scanned = tables.filter(({ table, scans }) => scans > 0 && !SMALL.has(table))
  assert.deepEqual(scanned, [], `nothing is scanned ${when}`)
}

/** Row versions that a vacuum had to leave are read as well, but a plan by history reads all of it. */
const STRAY_ROWS_MAX = (LONG - SHORT) / 2

/**
 * Not always less: where a history is short enough, the planner may read all of it instead of looking
 * a hundred rows up.
 */
function assertNoMore(long: Work, short: Work): void {
  assert.ok(totals(short).pages > 0, 'the work was counted')
  for (const { table, read, written } of long.tables) {
    const before = short.tables.find((work) => work.table === table)
    const shown = `of ${table} ${read} rows are read, ${before?.read} in the short history`
    assert.ok(read < (before?.read ?? 0) + STRAY_ROWS_MAX, shown)
    assert.equal(written, before?.written, `rows of ${table} that are written`)
  }
}

for (const { name, before: prepare, act } of ACTS) {
  for (const which of Object.keys(PLACES) as (keyof typeof PLACES)[]) {
    test(`I14: ${name} of ${which} reads no history: after ${LONG} sets as little as after ${SHORT}`, async () => {
      const works: Work[] = []
      for (const sets of [SHORT, LONG]) {
        const made = filled.get(sets)
        assert.ok(made)
        const ids = await pick(made, which)
        try {
          await prepare?.(made, ids)
          works.push(await workOf(sets, () => act(made, ids)))
        } finally {
          await made.bringBack(INSTANCE)
          await made.vacuum()
        }
      }
      const [short, long] = works
      assert.ok(short && long)
      assertNoMore(long, short)
    })
  }
}

const WATCHED: readonly {
  readonly name: string
  readonly watch: (tx: Transaction) => Promise<unknown>
}[] = [
  { name: 'which purges are due', watch: (tx) => instancesDueForPurge(tx, NOW) },
  { name: 'what is past its retention', watch: (tx) => instancesPastRetention(tx, NOW) },
  { name: 'what is to be reclaimed', watch: instancesDueForReclaim },
  { name: 'which jobs are open', watch: openJobs },
  { name: 'whether a purge is queued', watch: (tx) => isJobQueued(tx, INSTANCE, 'purge-sets') },
  { name: 'which rewrites were left', watch: (tx) => abandonRewrites(tx, INSTANCE) },
  { name: 'which purges have ended', watch: (tx) => settlePurges(tx, INSTANCE, NOW) },
]

for (const { name, watch } of WATCHED) {
  test(`I14: looking ${name} reads no history: after ${LONG} sets as little as after ${SHORT}`, async () => {
    const look = (made: FilledCatalogue) => made.catalogue.transaction(watch)
    const short = await workOf(SHORT, look)
    assertNoMore(await workOf(LONG, look), short)
  })
}

test(`P2: expiry that MinimumBackupSets stops reads no more kept sets after ${LONG} than after ${SHORT}`, async () => {
  const look = async (sets: number) => {
    const made = filled.get(sets)
    assert.ok(made)
    const minimum = (value: number | null) =>
      made.catalogue.transaction(async (tx) => {
        const found = await lockInstance(tx, INSTANCE)
        assert.ok(found)
        const policy = { ...found.policy, dataRetentionDays: 7, minimumBackupSets: value }
        await updatePolicy(tx, INSTANCE, policy, NOW)
      })
    await minimum(sets + 1)
    try {
      // An hour after the newest set, so that it is the minimum that stops expiry.
      const now = instant(NOW - 8 * DAY_MS + HOUR_MS)
      const clock = { now: () => now, refresh: async () => {} }
      const expire = () => expireSets({ ...made.needs(DAY_MS), clock }, SILENT, NEVER)
      return setsRead(await made.count(expire))
    } finally {
      await minimum(null)
    }
  }
  // Held sets are passed over one by one: of them there are more in the longer history.
  const [short, long] = [
    (await look(SHORT)) - firstFree(SHORT),
    (await look(LONG)) - firstFree(LONG),
  ]
  assert.ok(short > 0)
  assert.ok(long <= short, `${long} sets are read, ${short} before`)
})

test('I14: a page of DescribeDeletedBackups reads each deleted set a few times, not once for each row', async () => {
  const made = filled.get(SHORT)
  assert.ok(made)
  const ask = () => made.ask(DescribeDeletedBackups, 'pgm-00000000waiting1', [], DAY_MS)
  const page = itemsOf(await ask())
  assert.equal(page.length, 30)
  const read = setsRead(await made.count(ask))
  assert.ok(read < 10 * SHORT, `${read} rows of ${SHORT} sets`)
})

test('I14: plans that were made while the catalogue was almost empty do not scan when it is full', async () => {
  await using grown = await FilledCatalogue.create(server.catalogue.connection, 'grown', NOW)
  const young = 'pgm-000000000000young'
  await grown.insert({ instanceId: young, sets: 3, state: 'kept', workload: WORKLOAD })
  const [first = 0] = await grown.freeSets(young)
  await grown.ask(PreviewDeleteBackup, young, [first], DAY_MS)
  await grown.ask(DeleteBackup, young, [first], DAY_MS)
  await grown.ask(UndeleteBackup, young, [first], DAY_MS)
  await grown.insert({ instanceId: INSTANCE, sets: SHORT, state: 'kept', workload: WORKLOAD })
  const ids = await pick(grown, '100 scattered sets')
  const work = await grown.count(async () => {
    await grown.ask(PreviewDeleteBackup, INSTANCE, ids, DAY_MS)
    await grown.ask(DeleteBackup, INSTANCE, ids, DAY_MS)
    await grown.ask(UndeleteBackup, INSTANCE, ids, DAY_MS)
  })
  assertNoScan(work, 'once it has grown')
})
