import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { isFault } from './fault.ts'
import { tryFileLock } from './file-lock.ts'

test('a file is held by one at a time, until it is given back', async () => {
  await using folder = await temporaryFolder('lock')
  const file = join(folder.path, 'lock')
  const first = await tryFileLock(file)
  assert.ok(first)
  assert.equal(await tryFileLock(file), null)
  await first[Symbol.asyncDispose]()
  await using second = await tryFileLock(file)
  assert.ok(second)
})

test('a file that cannot be made is told as such', async () => {
  await using folder = await temporaryFolder('lock')
  await assert.rejects(
    tryFileLock(join(folder.path, 'none', 'lock')),
    (error) => isFault(error, 'unfit') && /cannot be locked/.test(error.message),
  )
})
