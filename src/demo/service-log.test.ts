import assert from 'node:assert/strict'
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../base/fault.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { awaitLogLine, endOfLog, lastComplaints } from './service-log.ts'

const { signal } = new AbortController()

test('finds a line that is written in two pieces, and none from before', async () => {
  await using folder = await temporaryFolder('log')
  const file = join(folder.path, 'service.log')
  await writeFile(file, '{"message":"done","job":1}\n')
  const from = await endOfLog(file)
  const found = awaitLogLine(file, from, ({ message }) => message === 'done', 5000, signal)
  await appendFile(file, 'no JSON\n{"message":"other"}\n{"message":"do')
  await appendFile(file, 'ne","job":2}\n')
  assert.equal((await found)['job'], 2)
})

test('gives up on a line that never comes', async () => {
  await using folder = await temporaryFolder('log')
  const file = join(folder.path, 'service.log')
  await writeFile(file, '')
  await assert.rejects(
    awaitLogLine(file, 0, () => true, 30, signal),
    (error) => isFault(error, 'transient'),
  )
})

test('shows the last warnings, errors and what is no JSON', async () => {
  await using folder = await temporaryFolder('log')
  const file = join(folder.path, 'service.log')
  await writeFile(file, '{"level":50,"n":1}\n{"level":30,"n":2}\nError: x\n{"level":40,"n":3}\n')
  assert.deepEqual(await lastComplaints(file, 2), ['Error: x', '{"level":40,"n":3}'])
})
