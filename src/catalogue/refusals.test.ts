import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { sql } from 'kysely'
import { SYSTEM } from '../domain/receipt.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { sqlOf } from './database.ts'
import { listEvents, newestPing, nextToNotify } from './events.ts'
import {
  REFUSALS_MAX,
  REFUSALS_PER_DAY_MAX,
  REFUSALS_PER_INSTANCE_AND_DAY_MAX,
  REFUSALS_PER_INSTANCE_MAX,
  recordRefusal,
} from './refusals.ts'

let opened: TestCatalogue
before(async () => {
  opened = await openTestCatalogue('refusals')
})
after(() => opened[Symbol.asyncDispose]())
beforeEach(() => run('truncate event'))

async function run(statement: string): Promise<void> {
  await opened.catalogue.transaction((tx) => sql.raw(statement).execute(sqlOf(tx)))
}

function refuse(instanceId: string, detail = 'Rule D11'): Promise<boolean> {
  const code = 'OperationDenied.BackupSetDeleteNotSupport'
  const asked = { action: 'DeleteBackup', instanceId, code, rule: 'D11', detail, requestId: 'R' }
  const actor = { accessKeyId: 'k', user: 'root', address: '127.0.0.1' }
  return opened.catalogue.transaction((tx) => recordRefusal(tx, { ...asked, actor }))
}

async function recorded() {
  return opened.catalogue.transaction((tx) => listEvents(tx, 0))
}

test('records a refusal with all that is known of it, and notifies nobody', async () => {
  assert.equal(await refuse('pgm-a'), true)
  const [event, ...more] = await recorded()
  assert.deepEqual(more, [])
  assert.equal(event?.kind, 'call-refused')
  assert.equal(event?.instanceId, 'pgm-a')
  assert.deepEqual(event?.details, {
    action: 'DeleteBackup',
    code: 'OperationDenied.BackupSetDeleteNotSupport',
    rule: 'D11',
    detail: 'Rule D11',
    requestId: 'R',
    accessKeyId: 'k',
    user: 'root',
    address: '127.0.0.1',
  })
  const waits = await opened.catalogue.transaction(nextToNotify)
  const pings = await opened.catalogue.transaction(newestPing)
  assert.deepEqual([waits, pings], [null, null])
})

test('records so many of an instance within a minute, also of calls at the same time', async () => {
  const calls = REFUSALS_PER_INSTANCE_MAX + 10
  const answers = await Promise.all(Array.from({ length: calls }, () => refuse('pgm-flood')))
  assert.equal(answers.filter(Boolean).length, REFUSALS_PER_INSTANCE_MAX)
  assert.equal((await recorded()).length, REFUSALS_PER_INSTANCE_MAX)
  assert.equal(await refuse('pgm-other'), true)
  await run(`update event set happened_at = happened_at - interval '61 seconds'`)
  assert.equal(await refuse('pgm-flood'), true)
})

test('records so many of all instances within a minute, however many are named', async () => {
  for (let call = 0; call < REFUSALS_MAX; call += 1) assert.equal(await refuse(`pgm-${call}`), true)
  assert.equal(await refuse('pgm-one-more'), false)
})

test('records so many within a day, however slowly they come', async () => {
  await run(`insert into event (kind, severity, channel, instance_id, service_time, details, happened_at)
    select 'call-refused', 'info', 'record', 'pgm-' || n, 0, '{}', now() - interval '1 hour'
    from generate_series(1, ${REFUSALS_PER_DAY_MAX - 1}) n`)
  assert.equal(await refuse('pgm-last'), true)
  assert.equal(await refuse('pgm-one-more'), false)
  await run(
    `update event set happened_at = now() - interval '25 hours' where instance_id = 'pgm-1'`,
  )
  assert.equal(await refuse('pgm-one-more'), true)
})

test('records so many of one instance within a day, and goes on with those of others', async () => {
  await run(`insert into event (kind, severity, channel, instance_id, service_time, details, happened_at)
    select 'call-refused', 'info', 'record', 'pgm-script', 0, '{}', now() - interval '1 hour'
    from generate_series(1, ${REFUSALS_PER_INSTANCE_AND_DAY_MAX - 1}) n`)
  assert.equal(await refuse('pgm-script'), true)
  assert.equal(await refuse('pgm-script'), false)
  assert.equal(await refuse('pgm-other'), true)
})

test('records what a stranger names, cut to what the catalogue takes', async () => {
  assert.equal(
    await refuse(`\u0000\ud800${'x'.repeat(1000)}`, `\u0000\ud83d${'\u{1f600}'.repeat(900)}`),
    true,
  )
  const [event] = await recorded()
  assert.equal(event?.instanceId, `\ufffd\ufffd${'x'.repeat(62)}`)
  assert.ok(String(event?.details['detail']).length <= 1000)
  const nobody = { action: 'A', instanceId: 'i', code: 'c', rule: 'r', detail: 'd', requestId: 'q' }
  const plain = { ...nobody, actor: SYSTEM }
  assert.equal(await opened.catalogue.transaction((tx) => recordRefusal(tx, plain)), true)
})
