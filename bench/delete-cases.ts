import { performance } from 'node:perf_hooks'
import { DAY_MS } from '../src/base/clock.ts'
import type { InstanceId } from '../src/base/ids.ts'
import { instancesPastRetention } from '../src/catalogue/automatic.ts'
import { instancesDueForPurge, purgeNext } from '../src/catalogue/deletions.ts'
import { lockInstance } from '../src/catalogue/instances.ts'
import { DeleteBackup } from '../src/operations/delete-backup.ts'
import { DescribeBackupDeletability } from '../src/operations/describe-backup-deletability.ts'
import { PreviewDeleteBackup } from '../src/operations/preview-delete-backup.ts'
import { UndeleteBackup } from '../src/operations/undelete-backup.ts'
import type { PseudoRandom } from '../src/testing/pseudo-random.ts'
import type { Work } from './counted-work.ts'
import type { FilledCatalogue } from './filled-catalogue.ts'
import { openSignedCalls } from './signed-calls.ts'

/** Which sets a call names: `count` of them in runs of `run` neighbours each. */
interface Named {
  readonly count: number
  readonly run: number
}

/** Sets of one instance that may be deleted, oldest first. */
export interface Target {
  readonly instanceId: InstanceId
  readonly free: readonly number[]
}

type Call = (target: Target, ids: readonly number[]) => Promise<unknown>

/** What is measured, and what goes before and after it. */
interface Steps {
  readonly before?: Call
  readonly measured: Call
  readonly after?: Call
}

export interface Case {
  readonly name: string
  readonly named: Named
  /** Takes long, and only one call of ten is made. */
  readonly rare?: true
  /** Opens what the calls need, for as long as the stack lasts. */
  readonly open: (filled: FilledCatalogue, stack: AsyncDisposableStack) => Promise<Steps> | Steps
}

const ONE = { count: 1, run: 1 }
const SCATTERED = { count: 100, run: 1 }
const NEIGHBOURS = { count: 100, run: 100 }
const NOBODY = { count: 0, run: 1 }

function deleting(filled: FilledCatalogue, windowMs: number): Steps {
  return {
    measured: ({ instanceId }, ids) => filled.ask(DeleteBackup, instanceId, ids, windowMs),
    after:
      windowMs === 0
        ? ({ instanceId }) => filled.bringBack(instanceId)
        : ({ instanceId }, ids) => filled.ask(UndeleteBackup, instanceId, ids, windowMs),
  }
}

function undeleting(filled: FilledCatalogue): Steps {
  return {
    before: ({ instanceId }, ids) => filled.ask(DeleteBackup, instanceId, ids, DAY_MS),
    measured: ({ instanceId }, ids) => filled.ask(UndeleteBackup, instanceId, ids, DAY_MS),
  }
}

function previewing(filled: FilledCatalogue): Steps {
  return {
    measured: ({ instanceId }, ids) => filled.ask(PreviewDeleteBackup, instanceId, ids, DAY_MS),
  }
}

/** Without its commit: it is undone, so that every one finds the same history. */
function purging(filled: FilledCatalogue): Steps {
  return {
    before: ({ instanceId }, ids) => filled.ask(DeleteBackup, instanceId, ids, 0),
    measured: ({ instanceId }) =>
      filled.rehearse(async (tx) => {
        await lockInstance(tx, instanceId)
        const decided = await purgeNext(tx, instanceId, filled.now)
        if (decided === null) throw new Error('no purge was due')
      }),
    after: ({ instanceId }) => filled.bringBack(instanceId),
  }
}

/** What is asked every two seconds, whether or not anything is to be done. */
function watching(filled: FilledCatalogue): Steps {
  return {
    measured: () =>
      filled.catalogue.transaction(async (tx) => {
        await instancesDueForPurge(tx, filled.now)
        await instancesPastRetention(tx, filled.now)
      }),
  }
}

async function overHttp(filled: FilledCatalogue, stack: AsyncDisposableStack): Promise<Steps> {
  const signed = stack.use(await openSignedCalls(filled, DAY_MS))
  return {
    measured: ({ instanceId }, ids) => signed.call('DeleteBackup', instanceId, ids),
    after: ({ instanceId }, ids) => signed.call('UndeleteBackup', instanceId, ids),
  }
}

export const CASES: readonly Case[] = [
  { name: 'delete 1', named: ONE, open: (filled) => deleting(filled, DAY_MS) },
  { name: 'delete 100 scattered', named: SCATTERED, open: (filled) => deleting(filled, DAY_MS) },
  { name: 'delete 100 neighbours', named: NEIGHBOURS, open: (filled) => deleting(filled, DAY_MS) },
  { name: 'delete 100, no window', named: SCATTERED, open: (filled) => deleting(filled, 0) },
  { name: 'delete 100 over HTTP', named: SCATTERED, open: overHttp },
  { name: 'undelete 100', named: SCATTERED, open: undeleting },
  { name: 'preview 1', named: ONE, open: previewing },
  { name: 'preview 100', named: SCATTERED, open: previewing },
  {
    name: 'describe 30 verdicts',
    named: NOBODY,
    open: (filled) => ({
      measured: ({ instanceId }) => filled.ask(DescribeBackupDeletability, instanceId, [], DAY_MS),
    }),
  },
  { name: 'purge 1', named: ONE, open: purging },
  { name: 'purge 100 scattered', named: SCATTERED, rare: true, open: purging },
  { name: 'look what is due', named: NOBODY, open: watching },
]

/** The same number of sets, with more and more rows between them. */
export const RUNS: readonly Case[] = [1, 5, 20, 100].map((run) => ({
  name: `100 in runs of ${run}`,
  named: { count: 100, run },
  open: (filled) => deleting(filled, DAY_MS),
}))

/** More and more sets, each with one pack. */
export const COUNTS: readonly Case[] = [1, 10, 30, 100].map((count) => ({
  name: `${count} scattered`,
  named: { count, run: 1 },
  open: (filled) => deleting(filled, DAY_MS),
}))

/** Sets that a call names, chosen anew for each: null when the instance has too few. */
export function choose(
  { free }: Target,
  { count, run }: Named,
  random: PseudoRandom,
): readonly number[] | null {
  if (count === 0) return []
  const runs = count / run
  // The newest set is left out, and between two runs is a set that is kept.
  const room = Math.floor((free.length - 1) / runs)
  if (room < run + 1) return null
  return Array.from({ length: runs }, (_, index) => {
    const first = index * room + random.below(room - run)
    return free.slice(first, first + run)
  }).flat()
}

/** Times of `callsMax` calls, in milliseconds, after some that are not measured; null as in `choose`. */
export async function timeCalls(
  filled: FilledCatalogue,
  targets: readonly Target[],
  { named, open, rare }: Case,
  callsMax: number,
  random: PseudoRandom,
): Promise<readonly number[] | null> {
  await using stack = new AsyncDisposableStack()
  const steps = await open(filled, stack)
  const times: number[] = []
  const calls = rare ? Math.ceil(callsMax / 10) : callsMax
  for (let call = rare ? 0 : -3; call < calls; call += 1) {
    const target = random.pick(targets)
    const ids = choose(target, named, random)
    if (ids === null) return null
    await steps.before?.(target, ids)
    const start = performance.now()
    await steps.measured(target, ids)
    if (call >= 0) times.push(performance.now() - start)
    await steps.after?.(target, ids)
  }
  return times
}

/** What one call's transactions touch; null as in `choose`. */
export async function countCall(
  filled: FilledCatalogue,
  targets: readonly Target[],
  { named, open }: Case,
  random: PseudoRandom,
): Promise<Work | null> {
  await using stack = new AsyncDisposableStack()
  const steps = await open(filled, stack)
  const target = random.pick(targets)
  const ids = choose(target, named, random)
  if (ids === null) return null
  await steps.before?.(target, ids)
  const work = await filled.count(() => steps.measured(target, ids))
  await steps.after?.(target, ids)
  return work
}
