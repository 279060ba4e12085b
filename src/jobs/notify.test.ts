import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { SILENT } from '../base/logger.ts'
import type { Labels } from '../base/metrics.ts'
import { Secret } from '../base/secret.ts'
import { sqlOf, type Transaction } from '../catalogue/database.ts'
import { listEvents, nextToNotify, passOverOld, recordEvent } from '../catalogue/events.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { EventReceiver } from '../testing/event-receiver.ts'
import { until } from '../testing/service-process.ts'
import { notify, pingDeadMan, signBody } from './notify.ts'

let opened: TestCatalogue
before(async () => {
  opened = await openTestCatalogue('notify')
})
after(() => opened[Symbol.asyncDispose]())

async function record(...causes: readonly string[]): Promise<void> {
  for (const cause of causes) {
    await opened.catalogue.transaction((tx) =>
      recordEvent(tx, { kind: 'backup-failed', instanceId: null, details: { cause } }),
    )
  }
}

/** Makes what waits two days old. */
function age(tx: Transaction): Promise<unknown> {
  return sql`update event set happened_at = happened_at - interval '2 days'
    where notified_at is null and given_up_at is null`.execute(sqlOf(tx))
}

/** Runs the duty while `work` runs; gives how often each result was counted. */
async function whileNotifying(
  url: string,
  work: () => Promise<void>,
  duty: typeof notifyUrl = notifyUrl,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  const tries = {
    add: ({ result = '' }: Labels) => {
      counts[result] = (counts[result] ?? 0) + 1
    },
  }
  const stopping = new AbortController()
  const running = duty(url, tries, stopping.signal)
  try {
    await work()
  } finally {
    stopping.abort()
    await running
  }
  return counts
}

function notifyUrl(url: string, tries: { add(labels: Labels): void }, signal: AbortSignal) {
  const receiver = { url: new Secret(url), secret: new Secret('a-secret-for-signing') }
  return notify(receiver, { catalogue: opened.catalogue, tries }, SILENT, signal)
}

function pingUrl(url: string, tries: { add(labels: Labels): void }, signal: AbortSignal) {
  return pingDeadMan(new Secret(url), { catalogue: opened.catalogue, tries }, SILENT, signal)
}

async function allTold(): Promise<void> {
  const waits = () => opened.catalogue.transaction(nextToNotify)
  await until(async () => (await waits()) === null, 'everything is told')
}

function causes(receiver: EventReceiver): readonly unknown[] {
  return receiver.events.map(({ details }) => (details as Record<string, unknown>)['cause'])
}

test('keeps the order, and sends the same bytes again until they are taken', async () => {
  await using receiver = await EventReceiver.open()
  receiver.manner = 500
  await record('first', 'second', 'third')
  const counts = await whileNotifying(`${receiver.url}/events`, async () => {
    await until(async () => receiver.received.length === 2, 'a second try')
    receiver.manner = 204
    await allTold()
  })
  assert.deepEqual(causes(receiver), ['first', 'first', 'first', 'second', 'third'])
  assert.deepEqual(counts, { failed: 2, sent: 3 })
  const bodies = receiver.received.slice(0, 3).map(({ body }) => body)
  assert.equal(new Set(bodies).size, 1)
  for (const { headers, body } of receiver.received) {
    const timestamp = String(headers['holdfast-timestamp'])
    const signature = signBody(new Secret('a-secret-for-signing'), timestamp, body)
    assert.equal(headers['holdfast-signature'], `v1=${signature}`)
    assert.equal(headers['content-type'], 'application/json')
    assert.doesNotMatch(body, /a-secret-for-signing/)
  }
})

test('has one form for every event', async () => {
  await using receiver = await EventReceiver.open()
  await record('the disk is full')
  await whileNotifying(`${receiver.url}/events`, allTold)
  const [event] = receiver.events
  const { id, serviceTime, time, ...rest } = event ?? {}
  assert.ok(Number.isSafeInteger(id))
  assert.match(String(serviceTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual(rest, {
    schema: 1,
    kind: 'backup-failed',
    severity: 'critical',
    instanceId: null,
    summary: 'A backup of the service failed: the disk is full.',
    details: { cause: 'the disk is full' },
  })
})

for (const manner of ['hang', 'reset', 302, 404] as const) {
  test(`tries again after ${manner}, and goes nowhere else`, async () => {
    await using receiver = await EventReceiver.open()
    receiver.manner = manner
    await record(`through ${manner}`)
    const counts = await whileNotifying(`${receiver.url}/events`, async () => {
      await until(async () => receiver.received.length > 0, 'a try')
      receiver.manner = 200
      await allTold()
    })
    assert.deepEqual(counts, { failed: 1, sent: 1 })
    assert.deepEqual(
      receiver.received.map(({ url }) => url),
      ['/events', '/events'],
    )
  })
}

test('tells a receiver that was away when it is there again', async () => {
  await using receiver = await EventReceiver.open()
  await receiver.close()
  await record('while away')
  const counts = await whileNotifying(`${receiver.url}/events`, async () => {
    await until(async () => (await tried()) > 0, 'a try')
    await receiver.listen()
    await allTold()
  })
  assert.deepEqual(causes(receiver), ['while away'])
  assert.ok((counts['failed'] ?? 0) > 0)
})

async function tried(): Promise<number> {
  const { rows } = await opened.catalogue.transaction((tx) =>
    sql<{ tries: number }>`select tries from event order by event desc limit 1`.execute(sqlOf(tx)),
  )
  return rows[0]?.tries ?? 0
}

test('gives up what it could not tell for a day, and goes on with what is newer', async () => {
  await using receiver = await EventReceiver.open()
  receiver.manner = 503
  await record('too old')
  await opened.catalogue.transaction(age)
  await record('newer')
  const counts = await whileNotifying(`${receiver.url}/events`, async () => {
    await until(async () => causes(receiver).includes('newer'), 'the newer one')
    receiver.manner = 204
    await allTold()
  })
  assert.equal(counts['given_up'], 1)
  assert.deepEqual(causes(receiver).slice(0, 2), ['too old', 'newer'])
  assert.equal(causes(receiver).filter((cause) => cause === 'too old').length, 1)
})

test('passes over what happened before anybody wanted to be told', async () => {
  await record('nobody listened')
  await opened.catalogue.transaction(age)
  await opened.catalogue.transaction(passOverOld)
  assert.equal(await opened.catalogue.transaction(nextToNotify), null)
})

test('records only so much of a long text', async () => {
  const [last] = (await opened.catalogue.transaction((tx) => listEvents(tx, 0))).slice(-1)
  await record('x'.repeat(100_000))
  const [long] = await opened.catalogue.transaction((tx) => listEvents(tx, last?.id ?? 0))
  assert.equal(String(long?.details['cause']).length, 1000)
  await opened.catalogue.transaction(age)
  await opened.catalogue.transaction(passOverOld)
})

test('pings once for several backups, and gives up after five tries', async () => {
  await using receiver = await EventReceiver.open()
  const finish = () =>
    opened.catalogue.transaction((tx) =>
      recordEvent(tx, { kind: 'backup-finished', instanceId: null, details: { backupId: 1 } }),
    )
  await finish()
  await finish()
  const one = async () => {
    await until(async () => receiver.received.length === 1, 'a ping')
    await until(async () => (await unpinged()) === 0, 'no ping waits')
  }
  assert.deepEqual(await whileNotifying(`${receiver.url}/alive`, one, pingUrl), { sent: 1 })
  receiver.manner = 500
  await finish()
  const five = async () => until(async () => (await unpinged()) === 0, 'the ping is given up')
  const counts = await whileNotifying(`${receiver.url}/alive`, five, pingUrl)
  assert.deepEqual(counts, { failed: 4, given_up: 1 })
  assert.equal(receiver.received.length, 6)
  assert.equal(await opened.catalogue.transaction(nextToNotify), null)
})

async function unpinged(): Promise<number> {
  const { rows } = await opened.catalogue.transaction((tx) =>
    sql<{ count: number }>`select count(*) as count from event
      where channel = 'dead-man' and notified_at is null and given_up_at is null`.execute(
      sqlOf(tx),
    ),
  )
  return rows[0]?.count ?? 0
}
