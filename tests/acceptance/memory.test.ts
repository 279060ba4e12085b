import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pause } from '../../src/base/clock.ts'
import { ServiceProcess } from '../../src/testing/service-process.ts'

const MEBIBYTE = 1024 * 1024
/** What a backup or a restore may take above the idle service, whatever the size of the database. */
const PEAK_BYTES_MAX = 512 * MEBIBYTE
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

let service: ServiceProcess
let basic: string

before(async () => {
  service = await ServiceProcess.open('memory')
  basic = await service.createInstance('Basic')
  const columns = `md5(g::text) || md5((g * 7)::text) a, md5((g + 1)::text) || md5((g * 3)::text) b`
  await service.query(
    basic,
    `create table t as select g, ${columns} from generate_series(1, 4000000) g`,
  )
})

after(async () => {
  await service[Symbol.asyncDispose]()
})

/** Resident bytes of a process: now, or the most there were since they were last reset. */
async function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  // A process that has just ended has no memory any more.
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024
}

test('a backup of a database larger than that stays within 512 MiB above the idle service', async () => {
  const idle = await residentBytes(service.pid, 'VmRSS')
  // proc(5): 5 resets the peak.
  await writeFile(`/proc/${service.pid}/clear_refs`, '5')
  for (let take = 0; take < 2; take += 1) {
    await service.succeed('backup', 'create', basic)
    const peak = await residentBytes(service.pid, 'VmHWM')
    assert.ok(peak - idle < PEAK_BYTES_MAX, `${peak - idle} bytes above the idle service`)
    await service.query(basic, 'update t set b = md5(b) where g % 20 = 0')
  }
})

test('a restore of it stays within the same bound', async () => {
  const sets = await service.succeed('backup', 'list', basic)
  const [id] = sets.split(/\s+/)
  const target = join(service.folder, 'restored')
  const words = ['restore', '--backup-id', id ?? '', '--target-directory', target]
  const child = spawn(process.execPath, [MAIN, ...words], {
    env: service.environment,
    stdio: 'ignore',
  })
  const ended = once(child, 'exit')
  let peak = 0
  while (child.exitCode === null) {
    peak = Math.max(peak, await residentBytes(child.pid ?? 0, 'VmHWM').catch(() => 0))
    await Promise.race([pause(50), ended])
  }
  assert.equal(child.exitCode, 0)
  assert.ok(peak > 0 && peak < PEAK_BYTES_MAX, `${peak} bytes`)
})
