import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pause } from '../../base/clock.ts'
import { isFault } from '../../base/fault.ts'
import type { RunningServer } from '../../servers/running-server.ts'
import { databaseOf, LocalPostgres, sourceOf } from '../../testing/local-postgres.ts'
import { askDatabase } from '../../testing/with-database.ts'
import type { BackupOptions, BackupStream, LocalServerPlan } from '../engine.ts'
import { openPostgresBackup } from './backup-stream.ts'
import type { StreamLimits } from './stream-limits.ts'

const { signal } = new AbortController()
const HOUR_MS = 3_600_000
let host: LocalPostgres
let primaryPlan: LocalServerPlan
let standbyPlan: LocalServerPlan
let standby: RunningServer

before(async () => {
  host = await LocalPostgres.create()
  ;[primaryPlan] = await host.startPrimary('node-1')
  ;[standbyPlan, standby] = await host.startStandby('node-2', primaryPlan)
  await ask(
    primaryPlan,
    `create table large as select n, repeat(md5(n::text), 20) as note
       from generate_series(1, 60000) n`,
  )
})

after(async () => {
  await host?.[Symbol.asyncDispose]()
})

function ask(plan: LocalServerPlan, ...statements: readonly string[]): Promise<string> {
  return askDatabase(databaseOf(plan), statements)
}

async function until(plan: LocalServerPlan, text: string, wanted: string): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if ((await ask(plan, text)) === wanted) return
    await pause(100)
  }
  assert.fail(`"${text}" stays ${await ask(plan, text)}, not ${wanted}`)
}

const SLOTS = `select count(*) from pg_replication_slots where slot_name like 'holdfast%'`
const SESSIONS = `select count(*) from pg_stat_activity where application_name like 'holdfast%'`

async function untilLeftAlone(plan: LocalServerPlan): Promise<void> {
  await until(plan, SLOTS, '0')
  await until(plan, SESSIONS, '0')
}

/** Reads all; `onBytes` is called for each piece. Gives the number of bytes. */
async function readAll(
  stream: BackupStream,
  onBytes: () => Promise<void> = async () => {},
): Promise<number> {
  let bytes = 0
  for await (const entry of stream.entries) {
    if (entry.kind !== 'file') continue
    for await (const piece of entry.content) {
      bytes += piece.length
      await onBytes()
    }
  }
  return bytes
}

async function open(
  plan: LocalServerPlan,
  changes: Partial<BackupOptions>,
  limits: StreamLimits,
): Promise<BackupStream> {
  const options = { ...(await host.backupOptions('stream')), ...changes }
  return openPostgresBackup(sourceOf(plan), options, signal, limits)
}

describe('a server that stops sending and keeps its connection', () => {
  const cases: readonly [string, RegExp][] = [
    ['holdfast-backup', /has sent nothing for 3 seconds/],
    ['holdfast-wal', /no log and no sign of life for 3 seconds/],
  ]
  for (const [application, told] of cases) {
    it(`is given up, and nothing is left on it once it goes on: ${application}`, async () => {
      // Slow, so that the stopped sender has not sent all of it already.
      await using stream = await open(
        primaryPlan,
        { maxRateKib: 4096 },
        { beginMs: HOUR_MS, silenceMs: 3000 },
      )
      const pid = await ask(
        primaryPlan,
        `select pid from pg_stat_activity where application_name = '${application}'`,
      )
      let stopped = false
      try {
        await assert.rejects(
          readAll(stream, async () => {
            if (stopped) return
            process.kill(Number(pid), 'SIGSTOP')
            stopped = true
          }),
          (error) => isFault(error, 'transient') && told.test(error.message),
        )
        await stream[Symbol.asyncDispose]()
      } finally {
        process.kill(Number(pid), 'SIGCONT')
      }
      await untilLeftAlone(primaryPlan)
    })
  }

  it('is not given up while its reader is slow', async () => {
    const limits = { beginMs: HOUR_MS, silenceMs: 3000 }
    await using stream = await open(primaryPlan, {}, limits)
    let waited = false
    const bytes = await readAll(stream, async () => {
      if (!waited) await pause(8000)
      waited = true
    })
    assert.ok(bytes > 40_000_000)
    await stream.finish(signal)
  })
})

describe('a spread checkpoint', () => {
  it('is waited for in silence, and is not made at full speed', async () => {
    await ask(primaryPlan, "alter system set checkpoint_timeout = '30s'", 'select pg_reload_conf()')
    await until(primaryPlan, 'show checkpoint_timeout', '30s')
    await ask(primaryPlan, 'update large set n = n + 1')
    const limits = { beginMs: HOUR_MS, silenceMs: 2000 }
    const opening = open(primaryPlan, { checkpoint: 'spread' }, limits)
    await until(
      primaryPlan,
      `select phase from pg_stat_progress_basebackup`,
      'waiting for checkpoint to finish',
    )
    await pause(4000)
    const phase = await ask(primaryPlan, `select phase from pg_stat_progress_basebackup`)
    await ask(primaryPlan, 'checkpoint')
    await using stream = await opening
    assert.equal(phase, 'waiting for checkpoint to finish')
    assert.ok((await readAll(stream)) > 40_000_000)
    await stream.finish(signal)
    await ask(primaryPlan, 'alter system reset checkpoint_timeout', 'select pg_reload_conf()')
  })
})

describe('the rate of a backup', () => {
  for (const rate of [31, 1_048_577, 64.5]) {
    it(`is refused as ${rate}, which BASE_BACKUP does not know`, async () => {
      await assert.rejects(
        open(primaryPlan, { maxRateKib: rate }, { beginMs: HOUR_MS, silenceMs: HOUR_MS }),
        (error) => isFault(error, 'unfit') && /32 to 1048576/.test(error.hint ?? ''),
      )
      await untilLeftAlone(primaryPlan)
    })
  }

  it('is the one that the server keeps to', async () => {
    const stream = await open(
      primaryPlan,
      { maxRateKib: 1024 },
      { beginMs: HOUR_MS, silenceMs: HOUR_MS },
    )
    const throttled = `select count(*) from pg_stat_activity
                        where application_name = 'holdfast-backup' and wait_event = 'BaseBackupThrottle'`
    const reading = readAll(stream)
    await until(primaryPlan, throttled, '1')
    await stream[Symbol.asyncDispose]()
    await assert.rejects(reading)
  })
})

describe('a process that is killed in the middle of a backup', () => {
  it('leaves no slot and no session behind', async () => {
    const program = fileURLToPath(new URL('../../testing/endless-backup.ts', import.meta.url))
    await untilLeftAlone(primaryPlan)
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
    const { scratchDirectory } = await host.backupOptions('killed')
    const { port, user } = primaryPlan
    const password = primaryPlan.password.reveal()
    child.stdin.end(JSON.stringify({ port, user, password, scratchDirectory }))
    await once(child.stdout, 'data')
    assert.equal(await ask(primaryPlan, SLOTS), '1')
    child.kill('SIGKILL')
    await once(child, 'exit')
    await untilLeftAlone(primaryPlan)
  })
})

describe('commits of a server with synchronous_standby_names = *', () => {
  it('do not take the stream of a backup for the standby that they wait for', async () => {
    const limits = { beginMs: HOUR_MS, silenceMs: HOUR_MS }
    await host.stop(standby)
    await ask(primaryPlan, "alter system set synchronous_standby_names = '*'")
    await ask(primaryPlan, 'select pg_reload_conf()')
    await until(primaryPlan, 'show synchronous_standby_names', '*')
    {
      await using stream = await open(primaryPlan, {}, limits)
      const state = `select state from pg_stat_replication where application_name = 'holdfast-wal'`
      await until(primaryPlan, state, 'streaming')
      await ask(primaryPlan, 'set synchronous_commit = local', 'create table local_only (n int)')
      const inserting = ask(primaryPlan, 'insert into local_only values (1)')
      const waiting = `select count(*) from pg_stat_activity where wait_event = 'SyncRep'`
      await until(primaryPlan, waiting, '1')
      // A stream that reports what it has flushed does so at the end of a segment.
      await ask(primaryPlan, 'select pg_switch_wal()')
      const received = `select write_lsn = pg_current_wal_insert_lsn() from pg_stat_replication
                         where application_name = 'holdfast-wal'`
      await until(primaryPlan, received, 'true')
      assert.equal(await ask(primaryPlan, waiting), '1')
      const cancel = `select count(pg_cancel_backend(pid)) from pg_stat_activity
                       where wait_event = 'SyncRep'`
      assert.equal(await ask(primaryPlan, cancel), '1')
      await inserting
      await readAll(stream)
      await stream.finish(signal)
    }
    await ask(primaryPlan, 'alter system reset synchronous_standby_names')
    await ask(primaryPlan, 'select pg_reload_conf()')
    standby = await host.start(standbyPlan)
  })
})

describe('a standby that cannot be backed up', () => {
  async function untilComplete(): Promise<void> {
    for (let tries = 0; tries < 600; tries += 1) {
      const source = sourceOf(primaryPlan, standbyPlan)
      const { running, findings } = await host.engine.probe(source, signal)
      if (running && findings.length === 0) return
      await pause(100)
    }
    assert.fail('the standby does not follow its primary')
  }

  it('is passed over while full_page_writes is off, and right after', async () => {
    await untilComplete()
    await ask(primaryPlan, 'alter system set full_page_writes = off', 'select pg_reload_conf()')
    await until(primaryPlan, 'show full_page_writes', 'off')
    const source = sourceOf(primaryPlan, standbyPlan)
    const first = await openPostgresBackup(source, await host.backupOptions('off'), signal)
    assert.match(first.findings.join(), /full_page_writes = off/)
    await readAll(first)
    assert.equal((await first.finish(signal)).role, 'primary')
    await first[Symbol.asyncDispose]()
    await ask(primaryPlan, 'checkpoint', 'create table without_pages (n int)')
    await ask(primaryPlan, 'alter system reset full_page_writes', 'select pg_reload_conf()')
    await until(primaryPlan, 'show full_page_writes', 'on')
    await untilComplete()
    const options = { ...(await host.backupOptions('lately')), checkpoint: 'spread' as const }
    // The standby's restart point must not take its time here.
    const opening = openPostgresBackup(source, options, signal)
    let open = true
    const settled = opening.finally(() => {
      open = false
    })
    while (open) {
      await ask(standbyPlan, 'checkpoint')
      await Promise.race([settled, pause(300)])
    }
    const second = await opening
    assert.match(second.findings.join(), /standby node-2: .*55000/)
    await readAll(second)
    assert.equal((await second.finish(signal)).role, 'primary')
    await second[Symbol.asyncDispose]()
  })

  it('is passed over while it replays with a delay', async () => {
    await ask(
      standbyPlan,
      "alter system set recovery_min_apply_delay = '1h'",
      'select pg_reload_conf()',
    )
    await ask(primaryPlan, 'create table delayed (n int)')
    const source = sourceOf(primaryPlan, standbyPlan)
    const stream = await openPostgresBackup(source, await host.backupOptions('late'), signal)
    assert.match(stream.findings.join(), /standby node-2: has not replayed/)
    await stream[Symbol.asyncDispose]()
    await ask(standbyPlan, 'alter system reset recovery_min_apply_delay', 'select pg_reload_conf()')
    await untilLeftAlone(primaryPlan)
  })
})

describe('a server whose archive_command fails', () => {
  it('is backed up without waiting for its archive', async () => {
    const [plan, server] = await host.startPrimary('archiving')
    await ask(plan, 'alter system set archive_mode = on')
    await ask(plan, "alter system set archive_command = '/bin/false'")
    await host.stop(server)
    const again = await host.start(plan)
    const { directory, set } = await host.backUp(sourceOf(plan))
    await until(plan, 'select failed_count > 0 from pg_stat_archiver', 'true')
    await host.engine.verifyRestored(directory, signal)
    await host.engine.prepareRestored(directory, set.engineState, signal)
    await host.stop(again)
    const copy = await host.startCopy(directory)
    assert.equal(await ask({ ...plan, port: copy.port }, 'show archive_mode'), 'off')
    await host.stop(copy)
  })
})
