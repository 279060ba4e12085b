import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { type PseudoRandom, pseudoRandom } from '../../src/testing/pseudo-random.ts'
import { itemsOf, until } from '../../src/testing/service-process.ts'
import { AttachedWorld, VICTIMS, type Victim } from '../kill/attached-world.ts'

/** `HOLDFAST_SEED=n` chooses what is killed when; `HOLDFAST_KILL_SECONDS=n` how long it goes on. */
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1 + (process.pid % 1000))
const SECONDS = Number(process.env['HOLDFAST_KILL_SECONDS'] ?? 60)

let world: AttachedWorld
/** The sets that must be there, with what the table's checksum was when they were asked for. */
const expected = new Map<string, string>()
/** Whether the instance must be there. */
let attached = false

before(async () => {
  world = await AttachedWorld.open()
})

after(async () => {
  await world[Symbol.asyncDispose]()
})

test(`D20, I10: kill -9 of service, catalogue and servers, each and together, loses nothing (seed ${SEED})`, async (t) => {
  const random = pseudoRandom(SEED)
  const deadline = performance.now() + SECONDS * 1000
  let rounds = 0
  for (; rounds < 4 || performance.now() < deadline; rounds += 1) {
    const action = attached ? random.pick(expected.size > 0 ? ACTIONS : [backUp]) : attach
    const victims = victimsOf(random)
    t.diagnostic(`round ${rounds}: ${action.name}, killing ${victims.join(' and ')}`)
    await action(random, async (meanwhile = Promise.resolve()) => {
      await pause(random.below(1500))
      await world.kill(victims)
      await meanwhile
      await world.revive(victims)
    })
    await checkAll()
  }
  const [newest] = [...expected.keys()].reverse()
  if (newest) assert.equal(await world.restoredChecksum(newest), expected.get(newest))
  t.diagnostic(`${rounds} rounds, ${expected.size} sets kept`)
})

/** Kills and starts again; `meanwhile` ends in between. */
type Kill = (meanwhile?: Promise<unknown>) => Promise<void>

function victimsOf(random: PseudoRandom): readonly Victim[] {
  const chosen = VICTIMS.filter(() => random.once(3))
  return chosen.length > 0 ? chosen : [random.pick(VICTIMS)]
}

/** An answer that a kill cut off may have been acted on or not. */
async function ask(asking: Promise<unknown>): Promise<void> {
  await asking.catch(() => undefined)
}

async function attach(_random: PseudoRandom, kill: Kill): Promise<void> {
  const asking = ask(world.askAttach())
  await kill()
  await asking
  await until(async () => (await world.status()) !== 'Creating', 'attaching has ended')
  // A server that was dead just then is a reason to refuse; then nothing is left.
  attached = (await world.status()) !== null
}

async function backUp(random: PseudoRandom, kill: Kill): Promise<void> {
  await running()
  await world.query('primary', `update t set x = md5(x) where g % 7 = ${random.below(7)}`)
  const checksum = await world.checksum()
  const before = new Set((await world.sets()).keys())
  const asking = ask(world.service.ask('CreateBackup', { DBInstanceId: world.instance }))
  await kill()
  await asking
  await until(jobsEnded, 'the backup has ended', 120_000)
  for (const [id, set] of await world.sets()) {
    if (before.has(id) || set['BackupStatus'] !== 'Success') continue
    expected.set(id, checksum)
  }
}

async function deleteSets(random: PseudoRandom, kill: Kill): Promise<void> {
  await running()
  await world.service.succeed('clock', 'advance', '8d')
  const chosen = [...expected.keys()].filter(() => random.once(2))
  if (chosen.length === 0) chosen.push(random.pick([...expected.keys()]))
  const asked = { DBInstanceId: world.instance, BackupId: chosen.join(',') }
  const asking = ask(world.service.ask('DeleteBackup', asked))
  await kill()
  await asking
  // All or nothing, whether or not the answer arrived.
  const left = chosen.filter((id) => expected.has(id))
  const there = await world.sets()
  const still = left.filter((id) => there.has(id))
  assert.ok(still.length === 0 || still.length === chosen.length, 'a delete is all or nothing')
  if (still.length === 0) for (const id of chosen) expected.delete(id)
}

async function restore(random: PseudoRandom, kill: Kill): Promise<void> {
  await running()
  const id = random.pick([...expected.keys()])
  const folder = await mkdtemp(join(world.service.folder, 'killed-'))
  const target = join(folder, 'data')
  const words = ['restore', '--backup-id', id, '--target-directory', target]
  const restoring = world.service.run(...words)
  // With the service dead the command may itself have opened the data folder.
  await kill(restoring)
  await rm(folder, { recursive: true })
  assert.equal(await world.restoredChecksum(id), expected.get(id))
}

/** Ends the instance with all its sets; asked again where the kill came first. */
async function detach(_random: PseudoRandom, kill: Kill): Promise<void> {
  await running()
  const asked = { DBInstanceId: world.instance, ReleasedKeepPolicy: 'None' }
  const asking = ask(world.service.ask('DeleteDBInstance', asked))
  await kill()
  await asking
  if ((await world.status()) === 'Running') await world.service.ask('DeleteDBInstance', asked)
  await until(async () => (await world.status()) === null, 'the instance is gone', 120_000)
  attached = false
  expected.clear()
}

const ACTIONS = [backUp, backUp, backUp, deleteSets, restore, detach]

async function running(): Promise<void> {
  await until(async () => (await world.status()) === 'Running', 'the instance is Running', 120_000)
}

async function jobsEnded(): Promise<boolean> {
  const tasks = await world.service.ask('DescribeBackupTasks', { DBInstanceId: world.instance })
  return itemsOf(tasks, 'BackupJob').length === 0
}

async function checkAll(): Promise<void> {
  if (attached) {
    await running()
    await until(jobsEnded, 'no job is stuck', 120_000)
    const kept = [...(await world.sets())].filter(([, set]) => set['BackupStatus'] === 'Success')
    const ids = kept.map(([id]) => id)
    assert.deepEqual(ids.sort(), [...expected.keys()].sort(), 'no set is lost, none comes back')
  }
  await until(() => world.settled(), 'catalogue and storage agree to the byte')
  await until(async () => (await world.slots()).length === 0, 'no slot is left on the servers')
}
