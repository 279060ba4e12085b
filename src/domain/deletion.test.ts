import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DAY_MS, type Instant } from '../base/clock.ts'
import type { BackupSetId } from '../base/ids.ts'
import { INSTANCE, NOW, POLICY } from '../testing/deletion-facts.ts'
import { judgeDeletion, judgeInstance, judgeSet } from './deletion.ts'
import type { Subject } from './deletion-rules.ts'
import type { BackupPolicy, BackupSetFacts, Instance } from './instance.ts'
import type { KeptSets } from './kept-sets.ts'

function logsOn(retentionDays: number, dataRetentionDays = 30): BackupPolicy {
  return { ...POLICY, dataRetentionDays, log: { enabled: true, retentionDays } }
}

/** Ten sets, of which the one that is judged is neither the first nor the last. */
const KEPT: KeptSets = {
  count: 10,
  newestId: 9 as BackupSetId,
  anchorId: null,
  lastSuccessAt: NOW,
  earliest: [],
  latest: [],
}

function setOfAge(ageMs: number, more: Partial<BackupSetFacts> = {}): BackupSetFacts {
  return {
    id: 7 as BackupSetId,
    state: 'kept',
    finishedAt: (NOW - ageMs) as Instant,
    retainedFrom: null,
    restoring: false,
    holds: [],
    ...more,
  }
}

function subject(more: Partial<Subject>): Subject {
  const set = setOfAge(30 * DAY_MS)
  return { instance: INSTANCE, policy: POLICY, id: '7', set, kept: KEPT, now: NOW, ...more }
}

const BOUNDARIES = [
  ['log backup off', POLICY, 7],
  ['log retention 10 d of 30 d', logsOn(10), 10],
  ['log retention 29 d of 30 d', logsOn(29), 29],
] as const

for (const [title, policy, days] of BOUNDARIES) {
  test(`D11, T1: ${title}: a set of exactly ${days} d stays, one of a millisecond more may go`, () => {
    const exact = judgeSet(subject({ policy, set: setOfAge(days * DAY_MS) }), 'by-hand')
    assert.equal(exact.refusal?.rule, 'set-old-enough')
    assert.deepEqual(exact.refusal?.changes, { by: 'time', at: NOW + 1 })
    const older = judgeSet(subject({ policy, set: setOfAge(days * DAY_MS + 1) }), 'by-hand')
    assert.equal(older.refusal, null)
  })
}

for (const retention of [7, 30, 400]) {
  test(`D10: log retention ${retention} d = data retention: never by hand, however old`, () => {
    const policy = logsOn(retention, retention)
    const set = setOfAge(10_000 * DAY_MS)
    const verdict = judgeSet(subject({ policy, set }), 'by-hand')
    assert.equal(verdict.refusal?.rule, 'log-retention-shorter')
    assert.deepEqual(verdict.refusal?.changes, { by: 'policy' })
  })
}

test('T2: a set stamped in the future is young until its time has come and gone', () => {
  const set = setOfAge(-3 * DAY_MS)
  const verdict = judgeSet(subject({ set }), 'by-hand')
  assert.deepEqual(verdict.refusal?.changes, { by: 'time', at: NOW + 10 * DAY_MS + 1 })
  assert.match(verdict.refusal?.evidence ?? '', /retained -3 d/)
})

test('V1: evidence names what was retained and what is needed', () => {
  const set = setOfAge(7 * DAY_MS - 60_000)
  const { refusal } = judgeSet(subject({ set }), 'by-hand')
  assert.match(refusal?.evidence ?? '', /^retained 6 d 23 h 59 min, needs more than 7 d/)
})

const INSTANCE_REFUSALS = [
  ['D1', null, 'instance-known'],
  ['D2', { ...INSTANCE, type: 'Readonly' }, 'instance-writable'],
  ['D3', { ...INSTANCE, lockMode: 'LockByDiskQuota' }, 'instance-unlocked'],
  ['D4', { ...INSTANCE, status: 'Stopped' }, 'instance-running'],
  ['D5', { ...INSTANCE, engine: 'SQLServer' }, 'engine-supported'],
  ['D6', { ...INSTANCE, category: 'Basic' }, 'category-supported'],
] as const

for (const [number, instance, rule] of INSTANCE_REFUSALS) {
  test(`${number}: ${rule} refuses before any set is looked at`, () => {
    assert.equal(judgeSet(subject({ instance, set: null }), 'by-hand').refusal?.rule, rule)
    assert.equal(judgeInstance(instance, POLICY, NOW, 'by-hand').refusal?.rule, rule)
  })
}

test('V1: instance rules come in their order when several fail', () => {
  const instance: Instance = {
    ...INSTANCE,
    type: 'Readonly',
    lockMode: 'ManualLock',
    status: 'Stopped',
    engine: 'x',
    category: 'Basic',
  }
  assert.equal(judgeInstance(instance, POLICY, NOW, 'by-hand').refusal?.rule, 'instance-writable')
  const writable: Instance = { ...instance, type: 'Primary' }
  assert.equal(judgeInstance(writable, POLICY, NOW, 'by-hand').refusal?.rule, 'instance-unlocked')
})

const SET_REFUSALS = [
  ['D7', null, 'set-known'],
  ['D7', setOfAge(30 * DAY_MS, { state: 'deleted' }), 'set-known'],
  ['D7', setOfAge(30 * DAY_MS, { state: 'writing' }), 'set-known'],
  ['D8', setOfAge(6 * DAY_MS, { state: 'failed' }), 'set-finished'],
  ['D9', setOfAge(30 * DAY_MS, { restoring: true }), 'set-not-restoring'],
] as const

for (const [number, set, rule] of SET_REFUSALS) {
  test(`${number}: ${rule} refuses a set that is ${set ? set.state : 'absent'}`, () => {
    assert.equal(judgeSet(subject({ set }), 'by-hand').refusal?.rule, rule)
  })
}

test('D17: a batch is refused by its first failing rule in rule order, then by the order of the IDs', () => {
  const young = subject({ id: '1', set: setOfAge(DAY_MS) })
  const unknown = subject({ id: '2', set: null })
  const unknownToo = subject({ id: '3', set: null })
  const fine = subject({ id: '4' })
  const { refusal } = judgeDeletion([young, fine, unknown, unknownToo], 'by-hand')
  assert.equal(refusal?.subject?.id, '2')
  assert.equal(refusal?.finding.rule, 'set-known')
  assert.equal(judgeDeletion([fine], 'by-hand').refusal, null)
})

test('E5: expiry is bound by belonging, holds and restores, not by the age by hand or the category', () => {
  const set = setOfAge(30 * DAY_MS + 1)
  const instance: Instance = { ...INSTANCE, category: 'Basic', status: 'Stopped' }
  assert.equal(judgeSet(subject({ instance, set }), 'expiry').refusal, null)
  const restoring = { ...set, restoring: true }
  const refused = judgeSet(subject({ instance, set: restoring }), 'expiry').refusal
  assert.equal(refused?.rule, 'set-not-restoring')
})

test('R1: a released instance needs neither to run nor a standby; its sets keep their own rules', () => {
  const released = { ...INSTANCE, status: 'Released', category: 'Basic' } as const
  const judge = (ageMs: number) => {
    const set = setOfAge(ageMs)
    const subject = {
      instance: released,
      policy: POLICY,
      id: String(set.id),
      set,
      kept: KEPT,
      now: NOW,
    }
    return judgeSet(subject, 'by-hand').refusal?.rule ?? null
  }
  assert.equal(judge(7 * DAY_MS), 'set-old-enough')
  assert.equal(judge(7 * DAY_MS + 1), null)
})
