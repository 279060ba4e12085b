import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { storageContract } from '../testing/storage-contract.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { openFileStorage } from './file-storage.ts'

const { signal } = new AbortController()

async function openTemporary() {
  const folder = await temporaryFolder('storage')
  const directory = join(folder.path, 'objects')
  const storage = await openFileStorage(directory)
  return {
    storage,
    directory,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

storageContract('file storage', openTemporary)

test('file storage keeps files and folders to their owner', async () => {
  await using opened = await openTemporary()
  await opened.storage.write('a/b/c', [Buffer.from('x')], signal)
  const modes = await Promise.all(
    ['', 'a', 'a/b', 'a/b/c'].map(async (path) => (await stat(join(opened.directory, path))).mode),
  )
  assert.deepEqual(
    modes.map((mode) => mode & 0o777),
    [0o700, 0o700, 0o700, 0o600],
  )
})

test('file storage lists what a killed process left only as unfinished, and removes it with its object', async () => {
  await using opened = await openTemporary()
  await opened.storage.write('a/pack-1.0', [Buffer.from('x')], signal)
  await writeFile(join(opened.directory, 'a/pack-1.0~0123456789ab'), 'half')
  await writeFile(join(opened.directory, 'a/pack-2.0~0123456789ab'), 'half')
  const listed = await Array.fromAsync(opened.storage.list('', signal))
  assert.deepEqual(
    listed.map((object) => object.name),
    ['a/pack-1.0'],
  )
  await opened.storage.remove(['a/pack-1.0'], signal)
  assert.deepEqual(await readdir(join(opened.directory, 'a')), ['pack-2.0~0123456789ab'])
  const unfinished = await Array.fromAsync(opened.storage.listUnfinished(signal))
  assert.deepEqual(unfinished, [{ name: 'a/pack-2.0', sizeBytes: 4 }])
})

test('file storage removes folders that become empty, but never its own', async () => {
  await using opened = await openTemporary()
  await opened.storage.write('series/1/2/manifest', [Buffer.from('x')], signal)
  await opened.storage.write('series/2/1/manifest', [Buffer.from('x')], signal)
  await opened.storage.remove(['series/1/2/manifest'], signal)
  assert.deepEqual(await readdir(join(opened.directory, 'series')), ['2'])
  await opened.storage.remove(['series/2/1/manifest'], signal)
  assert.deepEqual(await readdir(opened.directory), [])
})

test('file storage writes while the folder is emptied by others', async () => {
  await using opened = await openTemporary()
  for (let round = 0; round < 40; round += 1) {
    await Promise.all([
      opened.storage.write(`f/${round}`, [Buffer.from('x')], signal),
      opened.storage.remove([`f/${round - 1}`], signal),
    ])
  }
  assert.equal(await opened.storage.size('f/39', signal), 1)
})

test('file storage never leaves its directory', async () => {
  await using opened = await openTemporary()
  for (const name of ['../x', 'a/../../x', '/x', 'a//b', '', 'A', 'a~b', 'a/.']) {
    await assert.rejects(opened.storage.write(name, [], signal), /is an object's name/, name)
  }
})

test('file storage refuses a directory that is none', async () => {
  await using folder = await temporaryFolder('storage')
  const path = join(folder.path, 'file')
  await writeFile(path, '')
  await assert.rejects(openFileStorage(path))
  await mkdir(join(folder.path, 'sub'))
  await chmod(join(folder.path, 'sub'), 0o700)
  await using storage = await openFileStorage(join(folder.path, 'sub', 'deep', 'er'))
  assert.equal(await storage.size('x', signal), null)
})
