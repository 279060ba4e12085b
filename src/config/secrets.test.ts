import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { parseAccessKey, readAccessKey } from './secrets.ts'

test('keeps the access key that the first start made, readable to its owner only', async () => {
  await using folder = await temporaryFolder('secrets')
  const file = join(folder.path, 'access-key.json')
  const made = await readAccessKey(file)
  const again = await readAccessKey(file)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.deepEqual([again.id, again.secret.reveal()], [made.id, made.secret.reveal()])
})

test('refuses a key file that others can read', async () => {
  await using folder = await temporaryFolder('secrets')
  const file = join(folder.path, 'access-key.json')
  await writeFile(file, '{}', { mode: 0o644 })
  await assert.rejects(readAccessKey(file), (error) => isFault(error, 'denied'))
})

for (const text of ['', 'no JSON', 'null', '[]', '{"accessKeyId":"a"}', '{"accessKeyId":1}']) {
  test(`refuses ${JSON.stringify(text)} as an access key, and names the file`, () => {
    assert.throws(() => parseAccessKey(text, '/d/access-key.json'), {
      kind: 'corrupt',
      message: '/d/access-key.json holds no access key',
    })
  })
}
