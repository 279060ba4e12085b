import assert from 'node:assert/strict'
import {
  appendFile,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type pg from 'pg'
import { machineNow, pause } from '../../base/clock.ts'
import { isFault } from '../../base/fault.ts'
import type { RunningServer } from '../../servers/running-server.ts'
import { giveToUser } from '../../servers/server-user.ts'
import { databaseOf, endpointOf, LocalPostgres, sourceOf } from '../../testing/local-postgres.ts'
import { withDatabase } from '../../testing/with-database.ts'
import type { LocalServerPlan, Source } from '../engine.ts'

const { signal } = new AbortController()
/** The password of the test's servers, whatever quoting it went through. */
const PASSWORD_TRACE = /it\S{1,4}s a \\+ secret/
let host: LocalPostgres
let primaryPlan: LocalServerPlan
let standbyPlan: LocalServerPlan
let primary: RunningServer
let standby: RunningServer

before(async () => {
  host = await LocalPostgres.create()
  ;[primaryPlan, primary] = await host.startPrimary('node-1')
  ;[standbyPlan, standby] = await host.startStandby('node-2', primaryPlan)
})

after(async () => {
  await host?.[Symbol.asyncDispose]()
})

function pair(): Source {
  return sourceOf(primaryPlan, standbyPlan)
}

function withClient<T>(port: number, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withDatabase({ ...databaseOf(primaryPlan), port }, work)
}

/** The one value of a query, as text. */
async function ask(port: number, text: string): Promise<string> {
  return withClient(port, async (client) => {
    const { rows } = await client.query({ text, rowMode: 'array' })
    return String(rows[0]?.[0])
  })
}

async function flipByte(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  const { buffer } = await handle.read({ buffer: Buffer.alloc(1), position: 100 })
  await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 0xff]), 0, 1, 100)
  await handle.close()
}

/** Until no session and no slot of a backup is left on the server. */
async function untilLeftAlone(port: number): Promise<void> {
  const text = `select (select count(*) from pg_stat_replication where application_name like 'holdfast%')
                     + (select count(*) from pg_replication_slots where slot_name like 'holdfast%')`
  for (let tries = 0; tries < 50; tries += 1) {
    if ((await ask(port, text)) === '0') return
    await pause(100)
  }
  assert.fail('a session or a slot of the backup is still there')
}

/** Until the standby streams from its primary. */
async function untilComplete(): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { running, findings } = await host.engine.probe(pair(), signal)
    if (running && findings.length === 0) return
    await pause(100)
  }
  assert.fail('the standby does not follow its primary')
}

describe('a backup of a pair', () => {
  it('holds, read from the standby, every row committed before it was asked for', async () => {
    await ask(primaryPlan.port, 'create table seen (id serial primary key, note text)')
    let writing = true
    const writer = withClient(primaryPlan.port, async (client) => {
      while (writing) await client.query("insert into seen (note) values (repeat('x', 500))")
    })
    await pause(300)
    const last = Number(await ask(primaryPlan.port, 'select max(id) from seen'))
    const askedAt = machineNow()
    const { directory, set } = await host.backUp(pair())
    writing = false
    await writer
    assert.equal(set.role, 'standby')
    assert.equal(set.node, 'node-2')
    assert.ok(set.consistentAt >= askedAt && set.consistentAt <= machineNow())
    assert.equal(set.engineState.settings['max_connections'], '100')
    await host.engine.verifyRestored(directory, signal)
    await host.engine.prepareRestored(directory, set.engineState, signal)
    const checked = await host.engine.verifyRestored(directory, signal)
    assert.ok(checked.files > 900 && checked.bytes > 20_000_000)
    const copy = await host.startCopy(directory)
    assert.equal(await ask(copy.port, 'select pg_is_in_recovery()'), 'false')
    const launchers = `select count(*) from pg_stat_activity
                        where backend_type = 'logical replication launcher'`
    assert.equal(await ask(primaryPlan.port, launchers), '1')
    assert.equal(await ask(copy.port, launchers), '0')
    const missing = `select count(*) from generate_series(1, ${last}) as n
                      where not exists (select from seen where id = n)`
    assert.equal(await ask(copy.port, missing), '0')
    await ask(copy.port, 'drop table seen')
    await host.stop(copy)
  })

  it('leaves no slot and no session behind when it is done or aborted', async () => {
    await untilLeftAlone(standbyPlan.port)
    const abort = new AbortController()
    const options = await host.backupOptions('aborted')
    await assert.rejects(async () => {
      await using backup = await host.engine.openBackup(pair(), options, abort.signal)
      for await (const entry of backup.entries) {
        if (entry.kind === 'file') {
          for await (const bytes of entry.content) if (bytes.length > 0) abort.abort()
        }
      }
    }, /abort/i)
    await untilLeftAlone(standbyPlan.port)
  })

  it('leaves no slot and no session behind when its reader stops in the middle', async () => {
    const options = await host.backupOptions('left')
    {
      await using backup = await host.engine.openBackup(pair(), options, signal)
      for await (const entry of backup.entries) if (entry.kind === 'file') break
    }
    await untilLeftAlone(standbyPlan.port)
  })

  it('is refused with the reason when the password is wrong', async () => {
    const wrong = endpointOf({ ...primaryPlan, user: 'nobody-here' })
    const options = await host.backupOptions('denied')
    await assert.rejects(
      host.engine.openBackup({ endpoints: [wrong], systemIdentifier: null }, options, signal),
      (error) => isFault(error, 'denied') && /28P01/.test(error.message),
    )
  })

  it('comes from the primary while the standby is stopped', async () => {
    await host.stop(standby)
    const probe = await host.engine.probe(pair(), signal)
    assert.equal(probe.running, true)
    assert.match(probe.findings.join(), /standby node-2/)
    await ask(primaryPlan.port, 'create table alone as select 7 as seven')
    const options = await host.backupOptions('passed over')
    {
      await using backup = await host.engine.openBackup(pair(), options, signal)
      assert.match(backup.findings.join(), /^standby node-2: /)
    }
    const { directory, set } = await host.backUp(pair())
    assert.equal(set.role, 'primary')
    await host.engine.prepareRestored(directory, set.engineState, signal)
    await host.engine.verifyRestored(directory, signal)
    const copy = await host.startCopy(directory)
    assert.equal(await ask(copy.port, 'select seven from alone'), '7')
    await host.stop(copy)
    standby = await host.start(standbyPlan)
  })

  it('holds the password of the primary nowhere, though its settings once held it', async () => {
    await host.stop(standby)
    const former = "primary_conninfo = 'password=it\\''s a \\\\ secret'\n"
    assert.match(former, PASSWORD_TRACE)
    await appendFile(join(standbyPlan.directory, 'postgresql.auto.conf'), former)
    standby = await host.start(standbyPlan)
    const passfile = `${standbyPlan.directory}.passfile`
    assert.match(await readFile(passfile, 'utf8'), PASSWORD_TRACE)
    assert.equal((await stat(passfile)).mode & 0o777, 0o600)
    await untilComplete()
    const { directory, set } = await host.backUp(pair())
    assert.equal(set.role, 'standby')
    const settings = await readFile(join(directory, 'postgresql.auto.conf'), 'utf8')
    assert.match(settings, /primary_conninfo = '.* passfile=/)
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const content = await readFile(join(entry.parentPath, entry.name), 'latin1')
      assert.ok(!PASSWORD_TRACE.test(content), `${entry.name} holds the password`)
    }
    await host.engine.prepareRestored(directory, set.engineState, signal)
    const restored = await readFile(join(directory, 'postgresql.auto.conf'), 'utf8')
    assert.doesNotMatch(restored, /passfile/)
  })
})

describe('a restored directory', () => {
  let directory: string
  before(async () => {
    const backup = await host.backUp(sourceOf(primaryPlan))
    directory = backup.directory
    await host.engine.prepareRestored(directory, backup.set.engineState, signal)
    await host.engine.verifyRestored(directory, signal)
  })

  const hurts: [string, (path: string) => Promise<void>, RegExp][] = [
    ['a flipped byte', flipByte, /global\/pg_control has another checksum/],
    ['a missing file', (path) => rm(path), /global\/pg_control is missing/],
    ['a shorter file', (path) => truncate(path, 10), /pg_control has 10 bytes instead of 8192/],
  ]
  for (const [name, hurt, finding] of hurts) {
    it(`does not pass with ${name}`, async () => {
      const path = join(directory, 'global/pg_control')
      const whole = await readFile(path)
      await hurt(path)
      await assert.rejects(
        host.engine.verifyRestored(directory, signal),
        (error) => isFault(error, 'corrupt') && finding.test(error.message),
      )
      await writeFile(path, whole)
    })
  }

  it('does not pass with an extra file, a changed manifest or a missing segment', async () => {
    const rejects = (finding: RegExp) =>
      assert.rejects(
        host.engine.verifyRestored(directory, signal),
        (error) => isFault(error, 'corrupt') && finding.test(error.message),
      )
    await writeFile(join(directory, 'base/stranger'), 'x')
    await rejects(/base\/stranger is not in the backup manifest/)
    await rm(join(directory, 'base/stranger'))
    const manifest = join(directory, 'backup_manifest')
    const whole = await readFile(manifest)
    await flipByte(manifest)
    await rejects(/own checksum/)
    await writeFile(manifest, whole)
    const wal = join(directory, 'pg_wal')
    const [segment] = (await readdir(wal)).filter((name) => /^[0-9A-F]{24}$/.test(name))
    await flipByte(join(wal, String(segment)))
    await host.engine.verifyRestored(directory, signal)
    await rm(join(wal, String(segment)))
    await rejects(/no write-ahead log/)
  })
})

describe('a server with its own tablespace and much data', () => {
  it('is copied in bounded memory, with the tablespace inside the copy', async () => {
    const [plan, server] = await host.startPrimary('solo')
    const space = await host.folder('space')
    await mkdir(join(space, 'here'))
    await giveToUser(join(space, 'here'), host.user)
    await ask(plan.port, `create tablespace far location '${join(space, 'here')}'`)
    await ask(plan.port, 'create table distant tablespace far as select generate_series(1, 1000) n')
    await ask(
      plan.port,
      `create table large as select n, md5(n::text) || repeat('y', 900) as note
         from generate_series(1, 250000) n`,
    )
    const options = await host.backupOptions('large')
    const before = process.memoryUsage.rss()
    let most = 0
    let sizeBytes = 0
    {
      await using backup = await host.engine.openBackup(sourceOf(plan), options, signal)
      assert.ok((backup.estimatedBytes ?? 0) > 200_000_000)
      for await (const entry of backup.entries) {
        if (entry.kind !== 'file') continue
        for await (const bytes of entry.content) {
          sizeBytes += bytes.length
          most = Math.max(most, process.memoryUsage.rss())
        }
      }
    }
    assert.ok(sizeBytes > 200_000_000)
    assert.ok(most - before < 150_000_000, `${most - before} bytes more`)
    await ask(plan.port, 'drop table large')
    const { directory, set } = await host.backUp(sourceOf(plan))
    assert.equal(set.engineState.tablespaces[0]?.location, join(space, 'here'))
    await host.engine.verifyRestored(directory, signal)
    await host.engine.prepareRestored(directory, set.engineState, signal)
    await host.engine.verifyRestored(directory, signal)
    await host.stop(server)
    await rm(space, { recursive: true })
    const copy = await host.startCopy(directory)
    assert.equal(await ask(copy.port, 'select sum(n) from distant'), '500500')
    await ask(copy.port, 'insert into distant values (1)')
    await host.stop(copy)
    // Again, because crash recovery and a clean start look at tablespaces differently.
    const again = await host.startCopy(directory)
    assert.equal(await ask(again.port, 'select sum(n) from distant'), '500501')
    await host.stop(again)
  })
})

describe('a server that ends in the middle of a backup', () => {
  for (const kind of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    it(`is not held up, and the backup fails for now: ${kind}`, async () => {
      const [plan, server] = await host.startPrimary(`ending-${kind.toLowerCase()}`)
      const options = await host.backupOptions('ended')
      const source = sourceOf(plan)
      await assert.rejects(
        async () => {
          await using backup = await host.engine.openBackup(source, options, signal)
          let alive = true
          for await (const entry of backup.entries) {
            if (entry.kind !== 'file') continue
            for await (const bytes of entry.content) {
              if (!alive || bytes.length === 0) continue
              process.kill(server.pid, kind)
              await server.exited
              alive = false
            }
          }
        },
        (error) => isFault(error, 'transient'),
      )
      await host.stop(server)
    })
  }
})

describe('a change of roles', () => {
  it('ends a backup from the promoted standby, and the next one is on the new timeline', async () => {
    const options = await host.backupOptions('promoted')
    await assert.rejects(
      async () => {
        await using backup = await host.engine.openBackup(pair(), options, signal)
        assert.equal((await probeRoles()).join(), 'false,true')
        let first = true
        for await (const entry of backup.entries) {
          if (first) await ask(standbyPlan.port, 'select pg_promote(true, 10)')
          first = false
          if (entry.kind === 'file') for await (const _ of entry.content);
        }
        await backup.finish(signal)
      },
      (error) => isFault(error, 'transient'),
    )
    await host.stop(primary)
    const promoted = endpointOf({ ...standbyPlan, role: 'primary' })
    assert.equal(
      (await host.engine.probe({ endpoints: [promoted], systemIdentifier: null }, signal)).running,
      true,
    )
    const { directory, set } = await host.backUp({ endpoints: [promoted], systemIdentifier: null })
    assert.equal(set.engineState.timeline, 2)
    assert.ok((await readdir(join(directory, 'pg_wal'))).includes('00000002.history'))
    await host.engine.prepareRestored(directory, set.engineState, signal)
    await host.engine.verifyRestored(directory, signal)
    const copy = await host.startCopy(directory)
    assert.equal(await ask(copy.port, 'select seven from alone'), '7')
    await host.stop(copy)
  })

  it('refuses a backup while the primary does not answer, though another server does', async () => {
    const options = await host.backupOptions('refused')
    await assert.rejects(
      host.engine.openBackup(pair(), options, signal),
      (error) =>
        isFault(error, 'transient') && /primary node-1 does not answer/.test(error.message),
    )
    const probe = await host.engine.probe(pair(), signal)
    assert.equal(probe.running, false)
    assert.match(probe.findings.join(), /primary node-1/)
  })
})

async function probeRoles(): Promise<readonly string[]> {
  const text = 'select pg_is_in_recovery()'
  return [await ask(primaryPlan.port, text), await ask(standbyPlan.port, text)]
}
