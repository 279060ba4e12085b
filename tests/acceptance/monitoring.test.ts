import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { signalProcess } from '../../src/base/processes.ts'
import { Secret } from '../../src/base/secret.ts'
import { signBody } from '../../src/jobs/notify.ts'
import { EventReceiver } from '../../src/testing/event-receiver.ts'
import { type Family, parseExposition, sampleOf } from '../../src/testing/exposition.ts'
import { ServiceProcess, until } from '../../src/testing/service-process.ts'

const OPERATIONS = new URL('../../docs/operations/', import.meta.url)
const SECRET = 'the-secret-that-signs'

async function scrape(service: ServiceProcess): Promise<ReadonlyMap<string, Family>> {
  const reply = await fetch(`${service.endpoint}/metrics`)
  assert.equal(reply.status, 200)
  assert.match(reply.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  return parseExposition(await reply.text())
}

/** Waits for an event of the kind; the one that came first. */
async function eventOf(receiver: EventReceiver, kind: string): Promise<Record<string, unknown>> {
  const found = () => receiver.events.find((one) => one['kind'] === kind)
  await until(async () => found() !== undefined, `the event ${kind} comes`, 120_000)
  return found() ?? {}
}

/** The pid of the primary's postmaster. */
async function primaryPid(service: ServiceProcess, id: string): Promise<number> {
  const [row] = await service.query(id, "select current_setting('data_directory') as home")
  const pidFile = await readFile(`${row?.['home']}/postmaster.pid`, 'utf8')
  return Number(pidFile.split('\n', 1)[0])
}

test('measures and tells what happens to an instance', { timeout: 600_000 }, async (t) => {
  await using receiver = await EventReceiver.open()
  await using service = await ServiceProcess.open('monitor', {
    HOLDFAST_NOTIFY_URL: `${receiver.url}/events`,
    HOLDFAST_NOTIFY_SECRET: SECRET,
    HOLDFAST_DEAD_MAN_URL: `${receiver.url}/alive`,
    HOLDFAST_DISK_LOW: '0',
  })
  const id = await service.createInstance('HighAvailability')
  const instance = { instance: id }
  const pings = () => receiver.received.filter(({ url }) => url === '/alive')

  await t.test('has nothing to say of backups before the first', async () => {
    const families = await scrape(service)
    assert.equal(sampleOf(families, 'holdfast_last_success_timestamp_seconds', instance), null)
    assert.equal(sampleOf(families, 'holdfast_catalogue_up'), 1)
    assert.equal(sampleOf(families, 'holdfast_instance_up', instance), 1)
    const kept = { ...instance, state: 'kept' }
    assert.equal(sampleOf(families, 'holdfast_sets', kept), 0)
  })

  await t.test('measures a backup, and asks the dead-man URL once for it', async () => {
    await service.succeed('backup', 'create', id)
    await until(async () => pings().length > 0, 'the ping comes')
    assert.deepEqual(
      pings().map(({ method, body }) => [method, body]),
      [['GET', '']],
    )
    const families = await scrape(service)
    const of = (name: string, labels = {}) => sampleOf(families, name, { ...instance, ...labels })
    assert.ok((of('holdfast_last_success_timestamp_seconds') ?? 0) > 1.7e9)
    assert.ok((of('holdfast_last_backup_duration_seconds') ?? -1) >= 0)
    assert.ok((of('holdfast_last_backup_read_bytes') ?? 0) > 10_000_000)
    assert.ok((of('holdfast_last_backup_new_bytes') ?? 0) > 100_000)
    assert.equal(of('holdfast_last_backup_stored_bytes'), of('holdfast_instance_stored_bytes'))
    assert.equal(of('holdfast_last_backup_read_bytes'), of('holdfast_sets_content_bytes'))
    assert.equal(of('holdfast_sets', { state: 'kept' }), 1)
    const finished = { kind: 'take-backup', state: 'finished' }
    assert.equal(sampleOf(families, 'holdfast_jobs', finished), 1)
    assert.ok(
      (sampleOf(families, 'holdfast_filesystem_free_bytes', { folder: 'storage' }) ?? 0) > 0,
    )
    assert.equal(sampleOf(families, 'holdfast_dead_man_pings_total', { result: 'sent' }), 1)
    assert.deepEqual(receiver.events, [])
  })

  await t.test(
    'tells that a backup is overdue once, signed, and that it no longer is',
    async () => {
      await service.succeed('clock', 'advance', '30d')
      const told = await eventOf(receiver, 'backup-overdue')
      assert.equal(told['instanceId'], id)
      assert.equal(told['severity'], 'critical')
      assert.match(String(told['summary']), /has had no successful backup since 20/)
      const raw = receiver.received.find(({ url }) => url === '/events')
      assert.ok(raw)
      const timestamp = String(raw.headers['holdfast-timestamp'])
      const signature = `v1=${signBody(new Secret(SECRET), timestamp, raw.body)}`
      assert.equal(raw.headers['holdfast-signature'], signature)
      assert.equal(raw.headers['holdfast-event-id'], String(told['id']))
      await service.succeed('backup', 'create', id)
      await eventOf(receiver, 'backup-overdue-ended')
      assert.equal(receiver.events.filter(({ kind }) => kind === 'backup-overdue').length, 1)
    },
  )

  await t.test(
    'tells of a lost instance, of a receiver that fails too, and when it is back',
    async () => {
      receiver.manner = 500
      // Killed at once it would be started again before anybody could call it lost.
      const pid = await primaryPid(service, id)
      signalProcess(pid, 'SIGSTOP')
      await until(
        async () => receiver.events.some(({ kind }) => kind === 'instance-lost'),
        'the lost instance is tried to be told',
        120_000,
      )
      assert.equal(sampleOf(await scrape(service), 'holdfast_instance_up', instance), 0)
      receiver.manner = 204
      signalProcess(pid, 'SIGKILL')
      await eventOf(receiver, 'instance-back')
      await until(
        async () => sampleOf(await scrape(service), 'holdfast_events_waiting') === 0,
        'all is told',
      )
      const kinds = receiver.events.map(({ kind }) => kind)
      assert.ok(kinds.lastIndexOf('instance-lost') < kinds.indexOf('instance-back'))
      const families = await scrape(service)
      assert.equal(sampleOf(families, 'holdfast_instance_up', instance), 1)
      assert.ok((sampleOf(families, 'holdfast_notifications_total', { result: 'failed' }) ?? 0) > 0)
    },
  )

  await t.test(
    'documents every metric, with its labels, and names none that is not there',
    async () => {
      const families = await scrape(service)
      const exposed = [...families.keys()].filter((name) => name.startsWith('holdfast_')).sort()
      const page = await readFile(new URL('monitoring.md', OPERATIONS), 'utf8')
      const rules = await readFile(new URL('alerts.yml', OPERATIONS), 'utf8')
      const rows = [...page.matchAll(/^\| `(holdfast_\w+)` \| (.*?) ?\| /gm)]
      assert.deepEqual(rows.map(([, name]) => name).sort(), exposed)
      for (const [, name = ''] of `${page}\n${rules}`.matchAll(/\b(holdfast_\w+)/g)) {
        assert.ok(families.has(name), `${name} is exposed`)
      }
      for (const [, name = '', labels = ''] of rows) {
        const samples = families.get(name)?.samples ?? []
        // Nothing may be queued or running at this moment.
        assert.ok(
          samples.length > 0 || name === 'holdfast_oldest_job_age_seconds',
          `${name} has one`,
        )
        const documented = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)
        for (const sample of samples) assert.deepEqual(Object.keys(sample.labels), documented, name)
      }
      assert.ok(families.has('process_cpu_seconds_total'))
    },
  )

  await t.test(
    'counts calls by the names of actions, never by what a stranger makes up',
    async () => {
      await service.call('NoSuchAction')
      const families = await scrape(service)
      const labels = { action: 'unknown', code: 'InvalidAction.NotFound' }
      assert.equal(sampleOf(families, 'holdfast_requests_total', labels), 1)
      const backups = { action: 'CreateBackup', code: 'OK' }
      assert.equal(sampleOf(families, 'holdfast_requests_total', backups), 2)
    },
  )
})
