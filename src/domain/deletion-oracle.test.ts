import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS, type Instant } from '../base/clock.ts'
import {
  agesAround,
  type Facts,
  FREE,
  HOLDS,
  INSTANCES,
  PLACES,
  product,
  RELEASED,
  RETENTIONS,
  RUNNING,
  subjectOf,
} from '../testing/deletion-facts.ts'
import { type Expected, expectAlone } from '../testing/deletion-oracle.ts'
import { pseudoRandom } from '../testing/pseudo-random.ts'
import { judgeInstance, judgeSet } from './deletion.ts'
import type { Subject } from './deletion-rules.ts'
import type { Cause, Verdict } from './verdict.ts'

const CAUSES: readonly Cause[] = ['by-hand', 'expiry', 'instance-removal']

/*
 * The product of all values has more than 10¹² members. What is about the instance, about the set,
 * about expiry and about what would be left is multiplied out each in full, beside a few values of the
 * others: in the way of nothing, for a time, until a change of policy or state, for ever. Members of
 * the whole product are drawn beside that.
 */
const SETS_IN_SHORT: readonly Partial<Facts>[] = [
  {},
  { state: null },
  { state: 'failed' },
  { ageMs: DAY_MS },
  { holds: [null] },
  { holds: [DAY_MS] },
  { restoring: true },
  { retentions: { logs: true, log: 30, data: 30 } },
  { newest: true },
]
const LEFT_IN_SHORT: readonly Partial<Facts>[] = [
  {},
  { minimum: 9 },
  { windowProtection: true, place: 'first' },
]
const INSTANCES_IN_SHORT: readonly Partial<Facts>[] = [
  { instance: RUNNING },
  { instance: RELEASED },
  { instance: { ...RUNNING, category: 'Basic' } },
  { instance: { ...RUNNING, category: 'Basic' }, allowManualDelete: true },
  { instance: { ...RUNNING, status: 'Stopped' } },
]

const OF_INSTANCE = product<Pick<Facts, 'instance' | 'allowManualDelete'>>({
  instance: INSTANCES,
  allowManualDelete: [false, true],
})
const OF_SET = RETENTIONS.flatMap((retentions) =>
  product<Pick<Facts, 'retentions' | 'ageMs' | 'state' | 'holds' | 'restoring'>>({
    retentions: [retentions],
    ageMs: agesAround(retentions),
    state: ['kept', 'failed', 'deleted', 'writing', null],
    holds: HOLDS,
    restoring: [false, true],
  }),
)
/** Of the policy's Monday and Friday the longest gap is four days, so overdue is after five. */
const SUCCESS_AGES_MS = [
  0,
  5 * DAY_MS - 1,
  5 * DAY_MS,
  5 * DAY_MS + 1,
  -3_600_000,
  -3_600_001,
  null,
] as const
const OF_EXPIRY = RETENTIONS.flatMap((retentions) => {
  const retentionMs = retentions.data * DAY_MS
  const all = {
    retentions: [retentions],
    ageMs: agesAround(retentions),
    retainedFromMs: [null, DAY_MS, -retentionMs, -retentionMs - 1],
    newest: [false, true],
    anchor: [false, true],
  }
  const releasedMs = [0, -retentionMs, -retentionMs - 1]
  return [
    ...product<Partial<Facts>>({ ...all, instance: [RUNNING], successAgeMs: SUCCESS_AGES_MS }),
    ...product<Partial<Facts>>({ ...all, instance: [RELEASED], releasedMs, successAgeMs: [null] }),
  ]
})
const OF_LEFT = product<
  Pick<Facts, 'count' | 'minimum' | 'windowProtection' | 'place' | 'retentions' | 'anchor'>
>({
  count: [null, 0, 1, 2, 3],
  minimum: [null, 1, 2, 3],
  windowProtection: [false, true],
  place: PLACES,
  retentions: [FREE.retentions, { logs: false, log: 7, data: 30 }],
  anchor: [false, true],
})

const GROUPS = [
  ['D1–D6, E5', 'every instance', OF_INSTANCE, [SETS_IN_SHORT, LEFT_IN_SHORT], CAUSES],
  ['D7–D11, P1, R2, T1, T2', 'every set', OF_SET, [INSTANCES_IN_SHORT], CAUSES],
  [
    'E1–E4, E7, R1',
    'everything that expiry looks at',
    OF_EXPIRY,
    [[{}, { holds: [DAY_MS] }]],
    ['expiry'],
  ],
  ['P2, P3', 'everything that would be left', OF_LEFT, [SETS_IN_SHORT, INSTANCES_IN_SHORT], CAUSES],
] as const satisfies readonly (readonly [
  string,
  string,
  readonly Partial<Facts>[],
  readonly (readonly Partial<Facts>[])[],
  readonly Cause[],
])[]

type Group = (typeof GROUPS)[number]

function* casesOf([, , all, besides, causes]: Group): Iterable<readonly [Facts, Cause]> {
  let rest: readonly Partial<Facts>[] = [{}]
  for (const more of besides) {
    rest = rest.flatMap((row) => more.map((other: Partial<Facts>) => ({ ...row, ...other })))
  }
  for (const cause of causes) {
    for (const row of rest) for (const facts of all) yield [{ ...FREE, ...row, ...facts }, cause]
  }
}

/** Compared as one line of text: it is what a failure prints. */
function line({ refusal, changes }: Expected): string {
  return `${refusal ?? 'deletable'}, changed by ${changes ?? 'nobody'}`
}

function lineOf({ refusal, changes }: Verdict): string {
  return line({
    refusal: refusal?.rule ?? null,
    changes: changes?.by === 'time' ? changes.at : (changes?.by ?? null),
  })
}

function compare(facts: Facts, cause: Cause): Verdict {
  const subject = subjectOf(facts)
  const verdict = judgeSet(subject, cause)
  const [found, expected] = [lineOf(verdict), line(expectAlone(subject, cause))]
  // The message is dear to make, a hundred thousand times.
  if (found !== expected) assert.equal(found, expected, `${cause} ${JSON.stringify(facts)}`)
  return verdict
}

for (const group of GROUPS) {
  test(`${group[0]}: the rules say what the spec says of ${group[1]}`, () => {
    const met = new Set<string>()
    for (const [facts, cause] of casesOf(group)) {
      const { refusal, changes } = compare(facts, cause)
      met.add(`${refusal?.rule} ${changes?.by}`)
    }
    // Whatever else is wrong with the facts above: they lead to deletable sets, and to others.
    assert.ok(met.has('undefined undefined') && met.size > 5, [...met].join(', '))
  })
}

const DRAWN = 100_000
const SEED = 5

test(`V2: the rules say what the spec says of any facts together (seed ${SEED})`, () => {
  const random = pseudoRandom(SEED)
  for (let drawn = 0; drawn < DRAWN; drawn += 1) {
    const facts = { ...FREE }
    for (const [, , all] of GROUPS) if (!random.once(3)) Object.assign(facts, random.pick(all))
    if (random.once(2)) Object.assign(facts, { instance: random.pick(INSTANCES) })
    compare(facts, random.pick(CAUSES))
  }
})

/** Nothing but time passes; where expiry looks at the last success, backups go on succeeding. */
function later(subject: Subject, now: Instant): Subject {
  const kept = subject.kept && { ...subject.kept, lastSuccessAt: now }
  return { ...subject, kept, now }
}

test('V3: a refusal that time changes ends at the very instant that it names, and not a millisecond before', () => {
  let followed = 0
  for (const group of GROUPS) {
    for (const [facts, cause] of casesOf(group)) {
      const subject = subjectOf(facts)
      const { changes } = judgeSet(subject, cause)
      if (changes?.by !== 'time') continue
      followed += 1
      const before = judgeSet(later(subject, (changes.at - 1) as Instant), cause)
      const then = judgeSet(later(subject, changes.at), cause)
      if (before.refusal !== null && then.refusal === null) continue
      assert.fail(`${cause} at ${changes.at}: ${lineOf(then)}: ${JSON.stringify(facts)}`)
    }
  }
  assert.ok(followed > 10_000, `${followed} refusals`)
})

test('D16: what is said of an instance alone is what is said of any of its sets first', () => {
  for (const { instance, allowManualDelete } of OF_INSTANCE) {
    const subject = subjectOf({ ...FREE, instance, allowManualDelete })
    for (const cause of CAUSES) {
      const alone = judgeInstance(subject.instance, subject.policy, subject.now, cause)
      assert.equal(alone.refusal?.rule, expectAlone(subject, cause).refusal ?? undefined)
    }
  }
})
