import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS, instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { FREE, NOW, RELEASED, RUNNING, subjectOf } from '../testing/deletion-facts.ts'
import { expectBatch, expectChoice } from '../testing/deletion-oracle.ts'
import { type PseudoRandom, pseudoRandom } from '../testing/pseudo-random.ts'
import { chooseDeletable, judgeDeletion } from './deletion.ts'
import type { Subject } from './deletion-rules.ts'
import type { BackupSetFacts } from './instance.ts'
import type { KeptSets } from './kept-sets.ts'
import type { Cause } from './verdict.ts'

const CAUSES: readonly Cause[] = ['by-hand', 'expiry', 'instance-removal']
const SEEDS = [1, 2, 3, 4]
const WORLDS = 5_000
const SETS_MAX = 7
const OLD_MS = 31 * DAY_MS

/** An instance, its sets, and a request that names some of them. */
interface World {
  readonly subjects: readonly Subject[]
  /** Every kept set, where the subjects know only as many edges as the catalogue reads. */
  readonly everything: KeptSets
}

function makeWorld(random: PseudoRandom): World {
  const logs = random.once(2)
  const facts = {
    ...FREE,
    instance: random.once(4) ? RELEASED : RUNNING,
    retentions: { logs, log: 7, data: 30 } as const,
    minimum: random.pick([null, null, 1, 2, 3, 6]),
    windowProtection: random.once(3),
  }
  const sets = Array.from({ length: random.below(SETS_MAX) }, (_, index) => makeSet(random, index))
  const kept = sets.filter((set) => set.state === 'kept')
  // Few instants, so that several sets restore to the same one.
  const points = kept
    .map(({ id }) => ({ id, at: instant(NOW - random.below(4) * DAY_MS) }))
    .sort((a, b) => a.at - b.at || a.id - b.id)
  const everything: KeptSets = {
    count: kept.length,
    newestId: kept.at(-1)?.id ?? null,
    anchorId: logs && kept.length > 0 && random.once(2) ? random.pick(kept).id : null,
    lastSuccessAt: random.once(6) ? null : NOW,
    earliest: points,
    latest: [...points].reverse(),
  }
  const named = sets.filter(() => !random.once(3))
  const shuffled = random.once(2) ? named : named.toReversed()
  const known = edgesOf(everything, shuffled.length + 1)
  const base = { ...subjectOf(facts), kept: known }
  const subjects = shuffled.map((set) => ({ ...base, id: String(set.id), set }))
  const unknown = { ...base, id: '007', set: null }
  return { subjects: random.once(8) ? [...subjects, unknown] : subjects, everything }
}

/** Mostly free to go: batches are interesting when several are. */
function makeSet(random: PseudoRandom, index: number): BackupSetFacts {
  const id = (index + 1) as BackupSetId
  const old = !random.once(6)
  return {
    id,
    state: random.once(12) ? random.pick(['failed', 'deleted', 'writing'] as const) : 'kept',
    finishedAt: instant(NOW - (old ? OLD_MS : random.below(30) * DAY_MS)),
    retainedFrom: random.once(10) ? NOW : null,
    restoring: random.once(12),
    holds: random.once(12)
      ? [{ id: 1 as never, reason: 'audit', until: random.pick([null, NOW, instant(NOW + 1)]) }]
      : [],
  }
}

function edgesOf(kept: KeptSets, count: number): KeptSets {
  return { ...kept, earliest: kept.earliest.slice(0, count), latest: kept.latest.slice(0, count) }
}

function inFull({ subjects, everything }: World): readonly Subject[] {
  return subjects.map((subject) => ({ ...subject, kept: everything }))
}

for (const seed of SEEDS) {
  test(`D17, P2, P3, V2: a request is judged as the spec judges all its sets together (seed ${seed})`, () => {
    const random = pseudoRandom(seed)
    const met = new Set<string>()
    for (let count = 0; count < WORLDS; count += 1) {
      const world = makeWorld(random)
      for (const cause of CAUSES) {
        const { verdicts, refusal } = judgeDeletion(world.subjects, cause)
        const expected = expectBatch(inFull(world), cause)
        const index = refusal?.subject ? world.subjects.indexOf(refusal.subject) : null
        const found = {
          verdicts: verdicts.map(({ verdict: { refusal, changes } }) => ({
            refusal: refusal?.rule ?? null,
            changes: changes?.by === 'time' ? changes.at : (changes?.by ?? null),
          })),
          refusal: refusal && { rule: refusal.finding.rule, index },
        }
        assert.deepEqual(found, expected, `${cause} ${JSON.stringify(world)}`)
        met.add(`${cause} ${refusal?.finding.rule}`)
      }
    }
    for (const rule of ['minimum-sets', 'restore-window', 'undefined', 'set-not-held']) {
      assert.ok(met.has(`by-hand ${rule}`), rule)
    }
  })

  test(`E6: expiry takes the first ones as far as they may go together, and no fewer (seed ${seed})`, () => {
    const random = pseudoRandom(seed)
    let [cut, whole] = [0, 0]
    for (let count = 0; count < WORLDS; count += 1) {
      const world = makeWorld(random)
      for (const cause of ['expiry', 'instance-removal'] as const) {
        const chosen = chooseDeletable(world.subjects, cause)
        const indexes = chosen.map((subject) => world.subjects.indexOf(subject))
        assert.deepEqual(indexes, expectChoice(inFull(world), cause), JSON.stringify(world))
        // What was chosen may go as one request.
        assert.equal(judgeDeletion(chosen, cause).refusal, null)
        if (chosen.length === 0) continue
        if (chosen.length < world.subjects.length) cut += 1
        else whole += 1
      }
    }
    assert.ok(cut > 100 && whole > 100, `${cut} in part, ${whole} whole`)
  })
}
