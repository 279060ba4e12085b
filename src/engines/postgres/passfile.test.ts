import assert from 'node:assert/strict'
import { test } from 'node:test'
import { passfileLine } from './passfile.ts'

test('a colon or a backslash never ends a field of the password file', () => {
  assert.equal(passfileLine('admin', 'plain'), '127.0.0.1:*:*:admin:plain\n')
  assert.equal(passfileLine('a:b', 'c\\:d'), '127.0.0.1:*:*:a\\:b:c\\\\\\:d\n')
})
