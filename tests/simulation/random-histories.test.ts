import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY_MS } from '../../src/base/clock.ts'
import { type PseudoRandom, pseudoRandom } from '../../src/testing/pseudo-random.ts'
import { History } from './history.ts'
import type { Made } from './history-model.ts'
import type { OpenedParts } from './history-parts.ts'
import { openHistoryParts } from './history-parts.ts'
import { killedAfterRemoval, killedAfterRewrite, killedAtRewrite } from './history-storage.ts'

/** `HOLDFAST_SEED=n` runs that history alone; `HOLDFAST_HISTORIES=n` so many. */
const ONLY = Number(process.env['HOLDFAST_SEED'] ?? 0)
const HISTORIES = Number(process.env['HOLDFAST_HISTORIES'] ?? 300)
const STEPS = 20
/** Deletions can be brought back for so long; each history has one of these as the service's. */
const WINDOWS_MS = [0, DAY_MS, 4 * DAY_MS]

let parts: OpenedParts

before(async () => {
  parts = await openHistoryParts('random-histories')
})

after(async () => {
  await parts[Symbol.asyncDispose]()
})

const seeds = ONLY > 0 ? [ONLY] : Array.from({ length: HISTORIES }, (_, index) => index + 1)

for (const seed of seeds) {
  test(`D23, I1–I7, R2, R3: every byte is accounted for and every kept set restores (seed ${seed})`, async () => {
    const random = pseudoRandom(seed)
    const history = await History.start(parts)
    const windowMs = random.pick(WINDOWS_MS)
    for (let step = 0; step < STEPS; step += 1) {
      if (random.once(6)) history.clock.advance(random.below(3 * DAY_MS))
      await ACTS[random.pick(NAMES)](history, random, windowMs)
    }
    await finish(history, random, windowMs)
  })
}

type Act = (history: History, random: PseudoRandom, windowMs: number) => Promise<void>

const ACTS = {
  make: begin,
  end: async (history, random) => {
    for (const writing of history.of('writing')) await end(history, writing, random)
  },
  delete: deleteSome,
  undelete: undeleteSome,
  purge: async (history) => {
    await history.purge()
  },
  purgeNow,
  hold: async (history, random) => {
    const kept = history.of('kept')
    if (kept.length > 0 && random.once(2)) await history.hold(random.pick(kept))
    else await history.releaseHolds()
  },
  expire: async (history, _random, windowMs) => {
    await history.expire(windowMs)
  },
  reclaim: async (history, random, windowMs) => {
    await history.reclaim()
    await history.checkSets(random.pick([0, windowMs]))
  },
  pin: async (history, random) => {
    const kept = history.of('kept')
    if (kept.length > 0) await history.pin(random.pick(kept))
  },
  unpin: (history) => history.unpinAll(),
  kill: async (history, random) => {
    const { repository, storageDirectory } = history.parts
    const killed = random.pick([
      killedAtRewrite(repository, storageDirectory),
      killedAfterRemoval(repository),
      killedAfterRewrite(repository),
    ])
    await history.killReclaim(killed)
  },
} as const satisfies Readonly<Record<string, Act>>

const NAMES: readonly (keyof typeof ACTS)[] = [
  ...(['make', 'make', 'make', 'make', 'make', 'make', 'end', 'end', 'delete', 'delete'] as const),
  ...(['undelete', 'purge', 'purge', 'purgeNow', 'hold', 'expire', 'reclaim', 'pin'] as const),
  ...(['unpin', 'unpin', 'kill'] as const),
]

async function begin(history: History, random: PseudoRandom): Promise<void> {
  const writing = history.of('writing').length > 0
  for (let changes = random.below(4); changes > 0; changes -= 1) change(history, random)
  const made = await history.begin()
  assert.equal(made === null, writing, 'R1: one writer')
  if (made && !random.once(4)) await end(history, made, random)
}

async function end(history: History, made: Made, random: PseudoRandom): Promise<void> {
  if (random.once(6)) await history.fail(made)
  else await history.record(made)
}

async function deleteSome(history: History, random: PseudoRandom, windowMs: number): Promise<void> {
  const free = history.of('kept').filter((made) => !made.held)
  const chosen = free.filter(() => random.once(3))
  if (chosen.length === 0) return
  const forecast = await history.delete(chosen, windowMs)
  await history.checkSets(random.pick([0, windowMs]))
  if (windowMs > 0 || !forecast.exact || random.once(2)) return
  const decided = await history.purge()
  assert.equal(decided.at(-1)?.freedBytes, forecast.freedBytes)
  assert.equal(decided.at(-1)?.releasedBytes, forecast.releasedBytes)
}

function inWindow(history: History): readonly Made[] {
  return history.of('deleted').filter((made) => made.purgeAfter > history.now)
}

async function undeleteSome(history: History, random: PseudoRandom): Promise<void> {
  const chosen = inWindow(history).filter(() => random.once(2))
  if (chosen.length === 0) return
  await history.undelete(chosen)
  await history.restore(random.pick(chosen))
}

/** What ending the windows was said to give is what the purges of those sets give, all together. */
async function purgeNow(history: History, random: PseudoRandom): Promise<void> {
  const chosen = inWindow(history).filter(() => random.once(2))
  if (chosen.length === 0) return
  const forecast = await history.endWindows(chosen)
  const ids = new Set<number>(chosen.map(({ set }) => set.setId))
  const decided = await history.purge()
  if (!forecast.exact) return
  const mine = decided.filter(({ setIds }) => setIds.some((id) => ids.has(id)))
  const sum = (of: 'releasedBytes' | 'freedBytes') =>
    mine.reduce((total, purge) => total + purge[of], 0)
  assert.deepEqual(
    [sum('releasedBytes'), sum('freedBytes')],
    [forecast.releasedBytes, forecast.freedBytes],
  )
}

/** Ends with the instance's removal, and with nothing left when nothing is kept. */
async function finish(history: History, random: PseudoRandom, windowMs: number): Promise<void> {
  for (const writing of history.of('writing')) await end(history, writing, random)
  await history.unpinAll()
  await history.purge()
  await history.reclaim()
  await history.check(random.once(3))
  await history.restoreAll()
  await history.removeInstance(random.pick(['None', 'Lastest', 'All']), windowMs)
  history.clock.advance(windowMs)
  await history.purge()
  await history.reclaim()
  await history.restoreAll()
  await history.releaseHolds()
  const kept = history.of('kept')
  if (kept.length > 0) await history.delete(kept)
  await history.purge()
  await history.reclaim()
  assert.equal(await history.storedBytes(), 0, 'nothing is left when nothing is kept')
  await history.check(false)
}

/** Changes like a database's: spots, growth, truncation, files that come, go and come back. */
function change(history: History, random: PseudoRandom): void {
  const { files } = history
  const path = random.pick(['base/1', 'base/2', 'base/deep/3', 'global/4', 'small', 'empty'])
  const old = files.get(path)
  if (!old || random.once(5)) {
    files.set(path, path === 'empty' ? new Uint8Array() : random.bytes(random.below(120_000)))
    return
  }
  if (random.once(6)) {
    files.delete(path)
    return
  }
  const length = random.once(3) ? random.below(150_000) : old.length
  const changed = new Uint8Array(length)
  changed.set(old.subarray(0, length))
  const at = random.below(Math.max(1, length - 100))
  changed.set(random.bytes(Math.min(100, length - at)), at)
  files.set(path, changed)
}
