import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isFault } from '../base/fault.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { firstClosedFolder, resolveServerUser } from './server-user.ts'

const NOBODY = 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin'
const POSTGRES = 'postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash'
const ROOT = 'root:x:0:0:root:/root:/bin/bash'

describe('the user of database servers', () => {
  const choices: [string, string | null, number, string[], string | null][] = [
    ['is postgres for root', null, 0, [ROOT, NOBODY, POSTGRES], 'postgres'],
    ['is nobody for root where there is no postgres', null, 0, [ROOT, NOBODY], 'nobody'],
    ['is the named one for root', 'nobody', 0, [ROOT, NOBODY, POSTGRES], 'nobody'],
    ['is the process itself when it is not root', null, 101, [POSTGRES], null],
    ['may be named when it is the process itself', 'postgres', 101, [POSTGRES], null],
  ]
  for (const [title, name, uid, lines, expected] of choices) {
    it(title, async () => {
      await using folder = await temporaryFolder('user')
      const list = join(folder.path, 'passwd')
      await writeFile(list, `${lines.join('\n')}\n`)
      assert.equal((await resolveServerUser(name, uid, list))?.name ?? null, expected)
    })
  }

  const refusals: [string, string, number, string[]][] = [
    ['is never another one when the process is not root', 'nobody', 101, [NOBODY, POSTGRES]],
    ['is never root', 'root', 0, [ROOT, NOBODY]],
    ['is never one that does not exist', 'ghost', 0, [ROOT, NOBODY]],
  ]
  for (const [title, name, uid, lines] of refusals) {
    it(title, async () => {
      await using folder = await temporaryFolder('user')
      const list = join(folder.path, 'passwd')
      await writeFile(list, `${lines.join('\n')}\n`)
      await assert.rejects(
        resolveServerUser(name, uid, list),
        (error) => isFault(error, 'unfit') && error.hint !== null,
      )
    })
  }

  it('is kept out by the first folder without its permission to pass', async () => {
    await using folder = await temporaryFolder('user')
    const user = { name: 'stranger', uid: 54321, gid: 54321 }
    const closed = join(folder.path, 'closed')
    await mkdir(join(closed, 'inner'), { recursive: true })
    await chmod(closed, 0o700)
    assert.equal(await firstClosedFolder(join(closed, 'inner'), user), closed)
    await chmod(closed, 0o711)
    assert.equal(await firstClosedFolder(join(closed, 'inner'), user), null)
    assert.equal(await firstClosedFolder(join(closed, 'not', 'there'), user), null)
  })
})
