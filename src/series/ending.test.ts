import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PackState, RetirementState, SeriesView } from './ending.ts'
import { afterEnding, planEnding, targetFor } from './ending.ts'
import type { PackNumber, SetNumber } from './series.ts'
import { PACK_FIXED_BYTES } from './series.ts'

const OPEN = Number.POSITIVE_INFINITY

/** A chunk of the plain model: used by exactly the sets of [born, retired). */
interface Chunk {
  pack: number
  born: number
  retired: number
  bytes: number
  dead: boolean
}

function pseudoRandom(seed: number): (below: number) => number {
  let state = seed * 2654435761
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return Math.abs(state ^ (state >>> 13)) % below
  }
}

function viewOf(kept: readonly number[], chunks: readonly Chunk[]): SeriesView {
  const packs = new Map<PackNumber, PackState>()
  const rows = new Map<string, RetirementState>()
  for (const chunk of chunks) {
    if (chunk.dead) continue
    const pack = chunk.pack as PackNumber
    const state = packs.get(pack)
    const liveBytes = (state?.liveBytes ?? 0) + chunk.bytes
    packs.set(pack, {
      pack,
      born: chunk.born as SetNumber,
      liveBytes,
      targetBytes: PACK_FIXED_BYTES + liveBytes,
    })
    if (chunk.retired === OPEN) continue
    const key = `${chunk.pack}/${chunk.retired}`
    const bytes = (rows.get(key)?.bytes ?? 0) + chunk.bytes
    const retired = chunk.retired as SetNumber
    rows.set(key, { pack, born: chunk.born as SetNumber, retired, bytes })
  }
  return { kept: kept as SetNumber[], packs, retirements: [...rows.values()] }
}

function stabbed(chunk: Chunk, kept: readonly number[]): boolean {
  return kept.some((number) => chunk.born <= number && number < chunk.retired)
}

function randomSeries(seed: number) {
  const random = pseudoRandom(seed)
  const newest = 2 + random(10)
  const kept = Array.from({ length: newest }, (_, index) => index + 1)
  const chunks: Chunk[] = Array.from({ length: 60 }, () => {
    const born = 1 + random(newest)
    const last = born + random(newest - born + 1)
    const retired = last === newest ? OPEN : last + 1
    return { pack: born * 10 + random(3), born, retired, bytes: 1 + random(5000), dead: false }
  })
  return { random, kept, chunks }
}

for (let seed = 1; seed <= 300; seed += 1) {
  test(`I2: releases exactly what no kept set uses, in any order of ending (seed ${seed})`, () => {
    const { random, kept: all, chunks } = randomSeries(seed)
    let kept = all
    let view = viewOf(kept, chunks)
    while (kept.length > 0) {
      const ended = kept.filter(() => random(3) === 0)
      const ending = planEnding(view, ended as SetNumber[])
      kept = kept.filter((number) => !ended.includes(number))
      const dying = chunks.filter((chunk) => !chunk.dead && !stabbed(chunk, kept))
      for (const chunk of dying) chunk.dead = true
      const released = dying.reduce((total, chunk) => total + chunk.bytes, 0)
      assert.equal(ending.releasedBytes, released)
      view = afterEnding(view, ending)
      checkView(view, chunks, kept)
    }
    assert.equal(view.packs.size, 0)
  })
}

/** Live bytes as the chunks say; open chunks exactly those that the newest kept set uses. */
function checkView(view: SeriesView, chunks: readonly Chunk[], kept: readonly number[]): void {
  const newest = kept.at(-1)
  const live = chunks.filter((chunk) => !chunk.dead)
  for (const pack of view.packs.values()) {
    const mine = live.filter((chunk) => chunk.pack === pack.pack)
    const sum = (list: readonly Chunk[]) => list.reduce((total, chunk) => total + chunk.bytes, 0)
    assert.equal(pack.liveBytes, sum(mine))
    const closed = view.retirements
      .filter((row) => row.pack === pack.pack)
      .reduce((total, row) => total + row.bytes, 0)
    const used = mine.filter(
      (chunk) => newest !== undefined && chunk.born <= newest && newest < chunk.retired,
    )
    assert.equal(pack.liveBytes - closed, sum(used))
    assert.ok(pack.targetBytes >= PACK_FIXED_BYTES + pack.liveBytes)
  }
  for (const row of view.retirements) assert.ok(kept.includes(row.retired))
}

for (let seed = 1; seed <= 50; seed += 1) {
  test(`I6: what is foretold one by one is what one by one does (seed ${seed})`, () => {
    const { kept, chunks } = randomSeries(seed)
    const view = viewOf(kept, chunks)
    const [first = 1, second = 2] = kept
    const one = planEnding(view, [first as SetNumber])
    const two = planEnding(afterEnding(view, one), [second as SetNumber])
    const both = planEnding(view, [first, second] as SetNumber[])
    assert.equal(one.releasedBytes + two.releasedBytes, both.releasedBytes)
    assert.deepEqual(two.kept, both.kept)
  })
}

test('I5: a pack goes when nothing lives, shrinks below half, and stays otherwise', () => {
  assert.equal(targetFor(0, 100_000), 0)
  assert.equal(targetFor(40_000, 100_000), PACK_FIXED_BYTES + 40_000)
  assert.equal(targetFor(50_000, 100_000), 100_000)
  // Exactly half is not under half.
  assert.equal(targetFor(50_000 - PACK_FIXED_BYTES, 100_000), 100_000)
  assert.equal(targetFor(50_000 - PACK_FIXED_BYTES - 1, 100_000), 49_999)
})
