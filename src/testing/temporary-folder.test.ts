import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { pause } from '../base/clock.ts'
import { processStart, serversBelow } from '../base/processes.ts'
import { temporaryFolder } from './temporary-folder.ts'

const REAPED_WITHIN_MS = 20_000

test('lets a server of another user pass through, and removes everything at the end', async () => {
  let path: string
  {
    await using folder = await temporaryFolder('own')
    path = folder.path
    assert.equal((await stat(path)).mode & 0o777, 0o711)
    await writeFile(join(path, 'file'), 'x')
  }
  assert.equal(existsSync(path), false)
})

test('stops the servers below and removes the folder when the process is killed', async () => {
  const program = join(import.meta.dirname, 'abandoned-server.ts')
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const { folder, server } = JSON.parse(line)
  assert.ok((await serversBelow(folder)).includes(server))

  child.kill('SIGKILL')
  await once(child, 'exit')

  for (let waitedMs = 0; existsSync(folder) && waitedMs < REAPED_WITHIN_MS; waitedMs += 50) {
    await pause(50)
  }
  assert.equal(existsSync(folder), false)
  assert.equal(await processStart(server), null)
  assert.deepEqual(await serversBelow(folder), [])
})
