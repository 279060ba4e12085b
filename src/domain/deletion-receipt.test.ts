import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant } from '../base/clock.ts'
import { deletionOf } from '../testing/receipt-parts.ts'
import { deletionDetails, listedSets } from './deletion-receipt.ts'
import { bodyOf } from './receipt.ts'

function removalOf(count: number) {
  const judged = Array.from({ length: count }, (_, index) => {
    const id = String(9_000_000_000_000_000 + index)
    const subject = { instance: null, policy: null, id, set: null, kept: null, now: instant(0) }
    return { subject, verdict: { findings: [], refusal: null, changes: null } }
  })
  const predicted = { releasedBytes: 1, freedBytes: 1, exact: true }
  return deletionDetails('instance-removal', judged, predicted, instant(0))
}

test('names every set of a deletion, up to ten thousand', () => {
  const details = removalOf(10_000)
  assert.equal((details['backupIds'] as readonly string[]).length, 10_000)
  assert.equal('backupCount' in details, false)
})

test('has room for the removal of an instance with any number of sets: the first, and how many', () => {
  const details = removalOf(200_000)
  assert.equal((details['backupIds'] as readonly string[]).length, 10_000)
  assert.equal(details['backupCount'], 200_000)
  const receipt = {
    ...deletionOf('pgm-a', { details }),
    number: 1,
    event: 1,
    recordedAt: instant(0),
  }
  assert.ok(bodyOf(receipt).length < 2 ** 20)
  assert.deepEqual(listedSets(['1']), { backupIds: ['1'] })
})
