import assert from 'node:assert/strict'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { sizeOfFiles } from './folder-size.ts'

test('counts the bytes of files at every depth, and of nothing else', async () => {
  await using folder = await temporaryFolder('size')
  await mkdir(join(folder.path, 'a', 'b'), { recursive: true })
  await writeFile(join(folder.path, 'a', 'one'), Buffer.alloc(1000))
  await writeFile(join(folder.path, 'a', 'b', 'two.draft'), Buffer.alloc(234))
  await symlink('one', join(folder.path, 'a', 'link'))
  assert.equal(await sizeOfFiles(folder.path), 1234)
})

test('counts what goes meanwhile as gone, but not the folder itself', async () => {
  await using folder = await temporaryFolder('size')
  const going = Array.from({ length: 200 }, (_, index) => join(folder.path, `going-${index}`))
  for (const path of going) {
    await mkdir(path)
    await writeFile(join(path, 'file'), 'x')
  }
  await writeFile(join(folder.path, 'staying'), Buffer.alloc(1000))
  const counting = sizeOfFiles(folder.path)
  await Promise.all(going.map((path) => rm(path, { recursive: true })))
  const sizeBytes = await counting
  assert.ok(sizeBytes >= 1000 && sizeBytes <= 1200, String(sizeBytes))
  await assert.rejects(sizeOfFiles(join(folder.path, 'nowhere')), /ENOENT/)
})
