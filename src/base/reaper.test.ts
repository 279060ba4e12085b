import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { pause } from './clock.ts'
import { processStart } from './processes.ts'
import { startReaper } from './reaper.ts'

/** Starts a reaper in a process of its own, which registers `folder` and a child, then `then`. */
async function startWatcher(folder: string, then: string): Promise<[ChildProcess, number]> {
  const source = `
    import { spawn } from 'node:child_process'
    import { startReaper } from ${JSON.stringify(join(import.meta.dirname, 'reaper.ts'))}
    const sleeper = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
    sleeper.unref()
    const reaper = startReaper()
    const watch = await reaper.watchFolder(${JSON.stringify(folder)})
    await reaper.watchProcess(sleeper.pid)
    console.log(sleeper.pid)
    ${then}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  return [child, Number(line)]
}

async function becomes(holds: () => Promise<boolean>): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < 15_000; waitedMs += 50) {
    if (await holds()) return true
    await pause(50)
  }
  return false
}

for (const kind of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
  test(`ends what was watched when the process ends by ${kind}`, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-reaper-'))
    context.after(() => rmSync(folder, { recursive: true, force: true }))
    const [child, sleeper] = await startWatcher(folder, 'setTimeout(() => {}, 60_000)')
    assert.notEqual(await processStart(sleeper), null)
    child.kill(kind)
    assert.ok(await becomes(async () => !existsSync(folder)))
    assert.ok(await becomes(async () => (await processStart(sleeper)) === null))
  })
}

test('leaves alone what was forgotten, and ends with its process by itself', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-reaper-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const [child, sleeper] = await startWatcher(folder, 'await watch.forget()')
  await once(child, 'exit')
  assert.ok(await becomes(async () => (await processStart(sleeper)) === null))
  assert.ok(existsSync(folder))
})

test('forgets everything when it is disposed', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-reaper-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  {
    await using reaper = startReaper()
    await reaper.watchFolder(folder)
  }
  assert.ok(existsSync(folder))
})

test('refuses to watch a folder at the root of the file system', async () => {
  await using reaper = startReaper()
  await assert.rejects(reaper.watchFolder('/tmp'), /no folder at the root/)
})
