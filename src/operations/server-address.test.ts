import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readServerUrl } from './server-address.ts'

test('a server URL with a zero byte or a broken escape anywhere is refused, never passed on', () => {
  for (const part of ['u%00@h/d', 'u:%00@h/d', 'u@h%00/d', 'u@h/d%00', 'u%zz@h/d']) {
    const read = readServerUrl(`postgresql://${part}`)
    assert.ok('problems' in read && read.problems.length > 0, part)
  }
})

test('a server URL without port and database means the usual ones', () => {
  assert.deepEqual(readServerUrl('postgres://back%20up@db1'), {
    host: 'db1',
    port: 5432,
    database: 'postgres',
    user: 'back up',
    password: null,
    tlsMode: null,
  })
})
