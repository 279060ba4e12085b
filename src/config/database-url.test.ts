import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { type DatabaseUrl, readDatabaseUrl } from './database-url.ts'

function urlOf(text: string): DatabaseUrl {
  const read = readDatabaseUrl(text)
  assert.ok(!('problems' in read), 'problems' in read ? read.problems.join() : '')
  return read
}

test('reads every part of a connection URL, and what libpq puts where there is none', () => {
  const { password, ...full } = urlOf(
    'postgresql://a%40b:p%2Fw@db.example.org:6432/cat?sslmode=verify-full&sslrootcert=/r.pem' +
      '&sslcert=/c.pem&sslkey=/k.pem&options=-c%20work_mem%3D8MB&connect_timeout=3',
  )
  assert.equal(password.reveal(), 'p/w')
  assert.deepEqual(full, {
    host: 'db.example.org',
    port: 6432,
    database: 'cat',
    user: 'a@b',
    tlsMode: 'verify-full',
    rootCertificateFile: '/r.pem',
    client: { certificateFile: '/c.pem', keyFile: '/k.pem' },
    options: '-c work_mem=8MB',
    connectTimeoutSeconds: 3,
  })
  const least = urlOf('postgres://holdfast@[::1]')
  assert.equal(least.host, '::1')
  assert.equal(least.port, 5432)
  assert.equal(least.database, 'holdfast')
  assert.equal(least.tlsMode, 'prefer')
  assert.equal(least.password.reveal(), '')
})

test('takes a socket folder, percent-encoded or as a parameter, which wins', () => {
  assert.equal(urlOf('postgresql://u@%2Frun%2Fpostgresql/d').host, '/run/postgresql')
  const read = urlOf('postgresql:///d?host=/run/postgresql&user=u&port=6000&sslrootcert=system')
  assert.deepEqual([read.host, read.user, read.port], ['/run/postgresql', 'u', 6000])
  assert.equal(read.rootCertificateFile, null)
})

for (const [text, problem] of [
  ['nonsense', /is no URL/],
  ['mysql://u@h/d', /is no URL/],
  ['postgresql://h/d', /names no user/],
  ['postgresql:///d?user=u', /names no host/],
  ['postgresql://u@h,i/d', /several hosts/],
  ['postgresql://u@h/d?sslmode=always', /none of disable, prefer/],
  ['postgresql://u@h/d?sslcert=/c', /sslcert and sslkey together/],
  ['postgresql://u@h/d?target_session_attrs=any', /target_session_attrs/],
  ['postgresql://u@h/d?connect_timeout=0', /connect_timeout/],
  ['postgresql://u@h/%00', /zero byte/],
] as const) {
  test(`refuses ${text}`, () => {
    const read = readDatabaseUrl(text)
    assert.match('problems' in read ? read.problems.join('\n') : '', problem)
  })
}

test('never shows a password, neither in a problem nor when printed', () => {
  const bad = readDatabaseUrl('postgresql://u:very-secret@h,i/d?x=very-secret&sslmode=very-secret')
  assert.ok('problems' in bad && bad.problems.length === 3)
  assert.doesNotMatch(bad.problems.join(), /very-secret/)
  assert.doesNotMatch(inspect(urlOf('postgresql://u:very-secret@h/d'), { depth: 9 }), /very-secret/)
})
