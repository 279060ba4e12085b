import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../base/fault.ts'
import { isConnectionLoss } from './connection-loss.ts'

const coded = (code: string) => Object.assign(new Error('words'), { code })

test('tells a lost connection from a statement that failed', () => {
  for (const code of ['08006', '53300', '57P01', '57P03', '25006', 'ECONNRESET', 'ENOENT']) {
    assert.ok(isConnectionLoss(coded(code)), code)
  }
  assert.ok(isConnectionLoss(new Error('Connection terminated unexpectedly')))
  assert.ok(isConnectionLoss(new Error('timeout exceeded when trying to connect')))
  assert.ok(isConnectionLoss(new AggregateError([coded('ECONNREFUSED')])))
  assert.ok(isConnectionLoss(new Fault('transient', 'x', { cause: coded('57P02') })))
  for (const code of ['40P01', '40001', '23505', '42P01', '57014', '53100']) {
    assert.equal(isConnectionLoss(coded(code)), false, code)
  }
  assert.equal(isConnectionLoss(new Fault('transient', 'a backup is running')), false)
  assert.equal(isConnectionLoss(null), false)
})
