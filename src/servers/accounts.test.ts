import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isFault } from '../base/fault.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { type AccountNames, resolveServerAccounts } from './accounts.ts'

const ROOT = 'root:x:0:0:root:/root:/bin/bash'
const DAEMON = 'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin'
const NOBODY = 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin'
const POSTGRES = 'postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash'
const HOLDFAST = 'holdfast:x:990:990::/var/lib/holdfast:/usr/sbin/nologin'
const DEFAULTS: AccountNames = { serverUser: null, catalogueUser: null }

async function resolve(names: AccountNames, uid: number, lines: readonly string[]) {
  await using folder = await temporaryFolder('accounts')
  const list = join(folder.path, 'passwd')
  await writeFile(list, `${lines.join('\n')}\n`)
  return await resolveServerAccounts(names, uid, list)
}

describe('the accounts of a service of root', () => {
  const cases: [string, AccountNames, string[], string, string, RegExp | null][] = [
    [
      'keep the catalogue with an account of its own where there is one',
      DEFAULTS,
      [ROOT, DAEMON, NOBODY, POSTGRES, HOLDFAST],
      'postgres',
      'holdfast',
      null,
    ],
    [
      'differ without any being made, which is told when others may use the account too',
      DEFAULTS,
      [ROOT, DAEMON, NOBODY],
      'nobody',
      'daemon',
      /runs as daemon, as other programs/,
    ],
    [
      'differ when that of local instances is named',
      { serverUser: 'nobody', catalogueUser: null },
      [ROOT, DAEMON, NOBODY, POSTGRES],
      'nobody',
      'postgres',
      /runs as postgres, as other programs/,
    ],
    [
      'differ when local instances use the account that the catalogue would have',
      { serverUser: 'holdfast', catalogueUser: null },
      [ROOT, NOBODY, HOLDFAST],
      'holdfast',
      'nobody',
      /runs as nobody/,
    ],
    [
      'are one when that is asked for, and the start says what it opens',
      { serverUser: 'nobody', catalogueUser: 'nobody' },
      [ROOT, DAEMON, NOBODY],
      'nobody',
      'nobody',
      /superuser of one can read and change the catalogue/,
    ],
    [
      'are one where there is no other, and the start says what it opens',
      DEFAULTS,
      [ROOT, NOBODY],
      'nobody',
      'nobody',
      /superuser of one can read and change the catalogue/,
    ],
    [
      'are what was named, which is nothing to warn of',
      { serverUser: 'postgres', catalogueUser: 'daemon' },
      [ROOT, DAEMON, POSTGRES],
      'postgres',
      'daemon',
      null,
    ],
  ]
  for (const [title, names, lines, local, catalogue, warning] of cases) {
    it(title, async () => {
      const accounts = await resolve(names, 0, lines)
      assert.deepEqual([accounts.local?.name, accounts.catalogue?.name], [local, catalogue])
      assert.equal(accounts.warnings.length, warning === null ? 0 : 1)
      if (warning !== null) assert.match(accounts.warnings[0] ?? '', warning)
    })
  }

  for (const name of ['root', 'ghost']) {
    it(`never are ${name}`, async () => {
      await assert.rejects(
        resolve({ serverUser: null, catalogueUser: name }, 0, [ROOT, NOBODY]),
        (error) => isFault(error, 'unfit') && error.message.includes(name) && error.hint !== null,
      )
    })
  }
})

describe('the accounts of a service of another user', () => {
  it('are its own, and the start says what that opens', async () => {
    const accounts = await resolve(DEFAULTS, 101, [ROOT, NOBODY, POSTGRES])
    assert.deepEqual([accounts.local, accounts.catalogue], [null, null])
    assert.match(accounts.warnings.join(), /can read and change the catalogue, the storage/)
  })

  it('cannot be those of someone else', async () => {
    await assert.rejects(
      resolve({ serverUser: null, catalogueUser: 'nobody' }, 101, [ROOT, NOBODY, POSTGRES]),
      (error) => isFault(error, 'unfit'),
    )
  })
})
