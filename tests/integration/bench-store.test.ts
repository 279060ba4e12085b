import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { StoreProcess } from '../../bench/store-process.ts'
import { pseudoRandom } from '../../src/testing/pseudo-random.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { pageContent } from '../../src/testing/tree-history.ts'

const KIBIBYTE = 1024

for (const kibibytes of [16, 32, 64]) {
  test(`the bench stores with chunks of ${kibibytes} KiB, restores the same bytes and frees what it says`, async () => {
    await using folder = await temporaryFolder('bench-store')
    const from = join(folder.path, 'from')
    const random = pseudoRandom(kibibytes)
    const content = pageContent(random, 1000 * KIBIBYTE)
    await mkdir(from)
    await writeFile(join(from, 'table'), content)
    await using program = new StoreProcess(kibibytes * KIBIBYTE)
    const first = await program.ask({ act: 'store', from })
    assert.equal(first.stored?.chunkBytes, kibibytes * KIBIBYTE)
    assert.equal(first.stored?.contentBytes, content.length)

    content.writeUInt8(content.readUInt8(500_000) ^ 1, 500_000)
    await writeFile(join(from, 'table'), content)
    const second = await program.ask({ act: 'store', from })
    // One chunk of pages of which 3000 of 8192 bytes do not compress, with its row in the index.
    const share = (second.stored?.dataBytes ?? 0) / (first.stored?.dataBytes ?? 0)
    assert.ok(share > 0 && share < (2 * kibibytes) / 1000, `${share} of the data was stored anew`)

    const into = join(folder.path, 'into')
    await program.ask({ act: 'restore', number: 2, into, verify: false })
    assert.ok(content.equals(await readFile(join(into, 'table'))))
    await rm(into, { recursive: true })
    const { reclaimed } = await program.ask({ act: 'end', numbers: [1, 2] })
    assert.ok((reclaimed?.freedBytes ?? 0) > (first.stored?.dataBytes ?? 0))
    assert.equal(reclaimed?.packsRewritten, 0)
  })
}

test('the bench reports a step that fails, by its reason', async () => {
  await using program = new StoreProcess()
  await assert.rejects(program.ask({ act: 'store', from: '/nonexistent' }), /ENOENT/)
  await assert.rejects(program.ask({ act: 'end', numbers: [9] }), /there is no set 9/)
})
