import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeldom } from './seldom.ts'

test('what was just said is passed over, and counted when it is said again', (context) => {
  let now = 0
  context.mock.method(performance, 'now', () => now)
  const seldom = createSeldom(1000)
  assert.equal(seldom(), 0)
  now = 999
  assert.deepEqual([seldom(), seldom()], [null, null])
  now = 1000
  assert.equal(seldom(), 2)
  now = 2000
  assert.equal(seldom(), 0)
})
