import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { sumFileSizes } from './storage-size.ts'

test('counts the bytes of files at every depth, and of nothing else', async () => {
  await using folder = await temporaryFolder('size')
  await mkdir(join(folder.path, 'a', 'b'), { recursive: true })
  await writeFile(join(folder.path, 'a', 'one'), Buffer.alloc(1000))
  await writeFile(join(folder.path, 'a', 'b', 'two.draft'), Buffer.alloc(234))
  await symlink('one', join(folder.path, 'a', 'link'))
  assert.equal(await sumFileSizes(folder.path), 1234)
})
