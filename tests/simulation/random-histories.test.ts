import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type PseudoRandom, pseudoRandom } from '../../src/testing/pseudo-random.ts'
import type { Made } from './history.ts'
import { History } from './history.ts'
import type { OpenedParts } from './history-parts.ts'
import { openHistoryParts } from './history-parts.ts'

/** `HOLDFAST_SEED=n` runs that history alone; `HOLDFAST_HISTORIES=n` so many. */
const ONLY = Number(process.env['HOLDFAST_SEED'] ?? 0)
const HISTORIES = Number(process.env['HOLDFAST_HISTORIES'] ?? 120)
const STEPS = 30

let parts: OpenedParts

before(async () => {
  parts = await openHistoryParts('random-histories')
})

after(async () => {
  await parts[Symbol.asyncDispose]()
})

const seeds = ONLY > 0 ? [ONLY] : Array.from({ length: HISTORIES }, (_, index) => index + 1)

for (const seed of seeds) {
  test(`D23, I1–I6: every byte is accounted for and every kept set restores (seed ${seed})`, async () => {
    const random = pseudoRandom(seed)
    const history = await History.start(parts)
    for (let step = 0; step < STEPS; step += 1) await act(history, random)
    await finish(history, random)
  })
}

const ACTS = [
  ...['change', 'change', 'make', 'make', 'begin', 'end'],
  ...['delete', 'delete', 'purge', 'purge', 'reclaim', 'pin', 'unpin', 'kill'],
]

async function act(history: History, random: PseudoRandom): Promise<void> {
  const writing = history.made.find((made) => made.state === 'writing')
  switch (random.pick(ACTS)) {
    case 'change':
      change(history, random)
      return
    case 'make':
    case 'begin': {
      const made = await history.begin()
      assert.equal(made === null, writing !== undefined, 'R1: one writer')
      if (made && random.once(2)) await end(history, made, random)
      return
    }
    case 'end':
      if (writing) await end(history, writing, random)
      return
    case 'delete':
      await deleteSome(history, random)
      return
    case 'purge':
      await history.purge()
      return
    case 'pin':
      await pinOne(history, random)
      return
    case 'unpin':
      await history.unpinAll()
      return
    case 'kill':
      await history.killReclaim()
      return
    default:
      await history.reclaim()
  }
}

async function pinOne(history: History, random: PseudoRandom): Promise<void> {
  const kept = history.made.filter((made) => made.state === 'kept')
  if (kept.length > 0) await history.pin(random.pick(kept))
}

async function end(history: History, made: Made, random: PseudoRandom): Promise<void> {
  if (random.once(4)) await history.fail(made)
  else await history.record(made)
}

async function deleteSome(history: History, random: PseudoRandom): Promise<void> {
  const kept = history.made.filter((made) => made.state === 'kept')
  const chosen = kept.filter(() => random.once(3))
  if (chosen.length === 0) return
  const forecast = await history.delete(chosen)
  if (!forecast.exact || random.once(2)) return
  const decided = await history.purge()
  assert.equal(decided.at(-1)?.freedBytes, forecast.freedBytes)
  assert.equal(decided.at(-1)?.releasedBytes, forecast.releasedBytes)
}

async function finish(history: History, random: PseudoRandom): Promise<void> {
  const writing = history.made.find((made) => made.state === 'writing')
  if (writing) await end(history, writing, random)
  await history.unpinAll()
  await history.purge()
  await history.reclaim()
  await history.check()
  await history.restoreAll()
  const kept = history.made.filter((made) => made.state === 'kept')
  if (kept.length === 0) return
  await history.delete(kept)
  await history.purge()
  await history.reclaim()
  assert.equal(await history.storedBytes(), 0, 'nothing is left when nothing is kept')
  await history.check()
}

/** Changes like a database's: spots, growth, truncation, files that come, go and come back. */
function change(history: History, random: PseudoRandom): void {
  const { files } = history
  const path = random.pick(['base/1', 'base/2', 'base/deep/3', 'global/4', 'small', 'empty'])
  const old = files.get(path)
  if (!old || random.once(5)) {
    files.set(path, path === 'empty' ? new Uint8Array() : random.bytes(random.below(200_000)))
    return
  }
  if (random.once(6)) {
    files.delete(path)
    return
  }
  const length = random.once(3) ? random.below(250_000) : old.length
  const changed = new Uint8Array(length)
  changed.set(old.subarray(0, length))
  const at = random.below(Math.max(1, length - 100))
  changed.set(random.bytes(Math.min(100, length - at)), at)
  files.set(path, changed)
}
