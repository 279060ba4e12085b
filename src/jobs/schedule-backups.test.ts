import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY_MS, HOUR_MS, type Instant, instant, parseIso } from '../base/clock.ts'
import type { InstanceId } from '../base/ids.ts'
import { SILENT } from '../base/logger.ts'
import { listEvents } from '../catalogue/events.ts'
import { lockInstance, updatePolicy } from '../catalogue/instances.ts'
import { finishJob, listBackupJobs } from '../catalogue/jobs.ts'
import { openQueue, type Queue } from '../catalogue/queue.ts'
import { nextSlot } from '../domain/schedule.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { makeTestInstance, makeTestSet } from '../testing/catalogue-sets.ts'
import { scheduleBackups } from './schedule-backups.ts'
import { watchBackups } from './watch-backups.ts'

/** A Monday. The policy of a new instance is Tuesday, Thursday, Saturday at 02:00. */
const START = parseIso('2027-03-01T12:00Z') ?? assert.fail('a time')

let opened: TestCatalogue
let queue: Queue

before(async () => {
  opened = await openTestCatalogue('schedule-backups')
  queue = await openQueue(opened.catalogue, SILENT, false)
})

after(async () => {
  await queue[Symbol.asyncDispose]()
  await opened[Symbol.asyncDispose]()
})

async function policyOf(id: InstanceId) {
  const found = await opened.catalogue.transaction((tx) => lockInstance(tx, id))
  assert.ok(found)
  return found.policy
}

async function slotAfter(id: InstanceId, at: Instant): Promise<Instant> {
  return nextSlot(await policyOf(id), id, at)
}

const clockAt = (now: Instant) => ({ now: () => now, refresh: async () => {} })

/** One look of the duty; gives the jobs of the instance that have not ended. */
async function look(id: InstanceId, now: Instant) {
  await scheduleBackups({ catalogue: opened.catalogue, queue, clock: clockAt(now) }, SILENT)
  return opened.catalogue.transaction((tx) => listBackupJobs(tx, id, null))
}

test('one backup is asked for at the slot, none before, and one after many slots', async () => {
  const id = await makeTestInstance(opened.catalogue, START)
  const slot = await slotAfter(id, START)
  assert.deepEqual(await look(id, instant(slot - 1)), [])
  const [job, ...more] = await look(id, instant(slot + 30 * DAY_MS))
  assert.deepEqual([job?.mode, more], ['Automated', []])
  assert.equal((await look(id, instant(slot + 30 * DAY_MS + 1))).length, 1)
  const end = { state: 'failed', cause: 'asked to' } as const
  const attempt = { jobId: job?.id ?? assert.fail('a job'), number: 0 }
  const failedAt = instant(slot + 30 * DAY_MS)
  await opened.catalogue.transaction((tx) => finishJob(tx, attempt, end, failedAt))
  assert.deepEqual(await look(id, instant(failedAt + HOUR_MS - 1)), [])
  assert.equal((await look(id, instant(failedAt + HOUR_MS))).length, 1)
})

test('a changed schedule counts from its change on, and makes up for no slot of its own', async () => {
  const id = await makeTestInstance(opened.catalogue, START)
  const day = instant(START + DAY_MS)
  const change = { preferredTime: '06:00Z-07:00Z', preferredPeriod: ['Tuesday', 'Friday'] }
  const policy = { ...(await policyOf(id)), ...change }
  await opened.catalogue.transaction((tx) => updatePolicy(tx, id, policy, day))
  assert.deepEqual(await look(id, instant(day + HOUR_MS)), [])
  const slot = await slotAfter(id, day)
  assert.equal(new Date(slot).getUTCDay(), 5)
  assert.equal((await look(id, slot)).length, 1)
})

test('what a clock that was ahead has stamped keeps no backup away, and is no success', async () => {
  const id = await makeTestInstance(opened.catalogue, START)
  const ahead = instant(START + 365 * DAY_MS)
  await makeTestSet(opened.catalogue, id, ahead, 'Automated')
  const slot = await slotAfter(id, START)
  assert.equal((await look(id, slot)).length, 1)
  await watchBackups(opened.catalogue, clockAt(instant(START + 5 * DAY_MS)), SILENT)
  const events = await opened.catalogue.transaction((tx) => listEvents(tx, 0))
  const told = events.filter((event) => event.instanceId === id).map(({ kind }) => kind)
  assert.deepEqual(told, ['backup-overdue'])
})
