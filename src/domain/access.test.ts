import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { accessLine, accessPreparation, quoteIdentifier } from './access.ts'

describe('what a server is prepared with', () => {
  it('makes a role that is no superuser, and lets it in by TLS for SQL and replication', () => {
    const text = accessPreparation('holdfast', ['10.0.0.5/32', 'fd00::5/128'])
    assert.match(text, /^CREATE ROLE "holdfast" LOGIN REPLICATION PASSWORD '…';$/m)
    assert.match(text, /^GRANT pg_monitor TO "holdfast";$/m)
    assert.doesNotMatch(text, /SUPERUSER/)
    for (const address of ['10.0.0.5/32', 'fd00::5/128']) {
      for (const database of ['postgres', 'replication']) {
        assert.ok(text.includes(`\nhostssl  ${database}  holdfast  ${address}  scram-sha-256\n`))
      }
    }
  })

  it('quotes names that mean something else in SQL', () => {
    assert.equal(quoteIdentifier('user'), '"user"')
    assert.equal(quoteIdentifier('a"; DROP ROLE b; --'), '"a""; DROP ROLE b; --"')
  })

  it('quotes names that mean something else in pg_hba.conf', () => {
    const line = (role: string, database: string | null) =>
      accessLine({ kind: 'host', database, role, address: 'samehost' })
    assert.equal(line('all', null), 'host  replication  "all"  samehost  scram-sha-256')
    assert.equal(line('+group', 'a b'), 'host  "a b"  "+group"  samehost  scram-sha-256')
    assert.equal(line('x', 'replication'), 'host  "replication"  x  samehost  scram-sha-256')
  })
})
