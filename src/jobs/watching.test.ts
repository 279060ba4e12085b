import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY_MS, instant, machineNow } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import { SILENT } from '../base/logger.ts'
import { listEvents } from '../catalogue/events.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { makeTestInstance } from '../testing/catalogue-sets.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { tellFindings, tellingDamage } from './damage.ts'
import { watchBackups } from './watch-backups.ts'
import { noteProbe } from './watch-standbys.ts'

const CREATED = instant(machineNow())

let opened: TestCatalogue
before(async () => {
  opened = await openTestCatalogue('watching')
})
after(() => opened[Symbol.asyncDispose]())

const makeInstance = (name: string): Promise<InstanceId> =>
  makeTestInstance(opened.catalogue, CREATED, name as InstanceId)

async function toldOf(instanceId: InstanceId | null): Promise<readonly string[]> {
  const events = await opened.catalogue.transaction((tx) => listEvents(tx, 0))
  return events.filter((event) => event.instanceId === instanceId).map(({ kind }) => kind)
}

test('calls a standby lost after three findings in a row, once, and back after one without', async () => {
  const id = await makeInstance('pgm-pair')
  const see = async (running: boolean, ...findings: string[]) => {
    const seen = { running, primary: null, findings }
    await noteProbe(opened.catalogue, { id, masterId: null }, seen, SILENT)
    return toldOf(id)
  }
  await see(true, 'standby away')
  await see(true, 'standby away')
  assert.deepEqual(await see(true), [])
  await see(true, 'standby away')
  await see(true, 'standby away')
  // A primary that does not answer tells nothing about the standby.
  assert.deepEqual(await see(false, 'no answer'), [])
  assert.deepEqual(await see(true, 'standby away'), ['standby-lost'])
  assert.deepEqual(await see(true, 'standby away'), ['standby-lost'])
  assert.deepEqual(await see(false, 'no answer'), ['standby-lost'])
  assert.deepEqual(await see(true), ['standby-lost', 'standby-back'])
})

test('has nothing to say of the standbys of a follower, or of an instance that is gone', async () => {
  const id = await makeInstance('pgm-follower')
  const seen = { running: true, primary: null, findings: ['lags'] }
  for (let looks = 0; looks < 4; looks += 1) {
    await noteProbe(opened.catalogue, { id, masterId: id }, seen, SILENT)
    const gone = { id: 'pgm-none' as InstanceId, masterId: null }
    await noteProbe(opened.catalogue, gone, seen, SILENT)
  }
  assert.deepEqual(await toldOf(id), [])
  assert.deepEqual(await toldOf('pgm-none' as InstanceId), [])
})

test('calls an instance overdue that was never backed up, counting from its creation', async () => {
  const id = await makeInstance('pgm-never')
  const clock = new ManualClock(CREATED)
  const look = async () => {
    await watchBackups(opened.catalogue, clock, SILENT)
    return toldOf(id)
  }
  // Tuesday, Thursday, Saturday: at most three days apart, and one more.
  clock.advance(4 * DAY_MS)
  assert.deepEqual(await look(), [])
  clock.advance(1)
  assert.deepEqual(await look(), ['backup-overdue'])
  assert.deepEqual(await look(), ['backup-overdue'])
})

test('tells of damage once for each thing, and never of other failures', async () => {
  const { catalogue } = opened
  const meet = (subject: string, fault: Fault) =>
    assert.rejects(
      tellingDamage(catalogue, 'a restore', subject, () => Promise.reject(fault)),
      fault,
    )
  await meet('set 1', new Fault('transient', 'the server went away'))
  assert.deepEqual(await toldOf(null), [])
  await meet('set 1', new Fault('corrupt', 'a chunk is damaged'))
  await meet('set 1', new Fault('corrupt', 'a chunk is damaged'))
  await meet('set 2', new Fault('corrupt', 'a chunk is damaged'))
  assert.deepEqual(await toldOf(null), ['damage-found', 'damage-found'])
  await tellFindings(catalogue, [])
  assert.equal((await toldOf(null)).length, 2)
  await tellFindings(catalogue, ['an object is missing'])
  assert.equal((await toldOf(null)).length, 3)
})
