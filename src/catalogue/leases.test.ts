import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { pause } from '../base/clock.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { sqlOf } from './database.ts'
import { runHolding } from './leases.ts'

let opened: TestCatalogue
const { signal } = new AbortController()

before(async () => {
  opened = await openTestCatalogue('leases')
})

after(async () => {
  await opened[Symbol.asyncDispose]()
})

test('work under one of the same leases follows the other, whatever the order of the names', async () => {
  const seen: string[] = []
  const run = (name: string, names: readonly string[]) =>
    runHolding(
      opened.catalogue,
      names,
      async () => {
        seen.push(`${name} begins`)
        await pause(200)
        seen.push(`${name} ends`)
      },
      () => undefined,
      signal,
    )
  await Promise.all([run('first', ['b', 'a']), run('second', ['a', 'b']), run('third', ['b'])])
  for (let index = 0; index < seen.length; index += 2) {
    assert.equal(seen[index + 1], seen[index]?.replace('begins', 'ends'))
  }
  assert.equal(seen.length, 6)
})

test('work that ends gives its leases back, also when it fails; a wait says for what', async () => {
  const failing = runHolding(
    opened.catalogue,
    ['x'],
    async () => Promise.reject(new Error('work failed')),
    () => undefined,
    signal,
  )
  await assert.rejects(failing, /work failed/)
  const waits: string[] = []
  const value = await runHolding(
    opened.catalogue,
    ['x'],
    async () => {
      const other = runHolding(
        opened.catalogue,
        ['x'],
        async () => 2,
        (name) => waits.push(name),
        AbortSignal.timeout(100),
      )
      await assert.rejects(other)
      return 1
    },
    () => undefined,
    signal,
  )
  assert.equal(value, 1)
  assert.deepEqual(waits, ['x'])
})

test('work whose lease was taken by someone else is told to stop', async () => {
  const stopped = runHolding(
    opened.catalogue,
    ['taken'],
    async (held) => {
      await opened.catalogue.transaction((tx) =>
        sql`update lease set holder = 'another' where name = 'taken'`.execute(sqlOf(tx)),
      )
      await pause(30_000, held)
    },
    () => undefined,
    signal,
  )
  await assert.rejects(stopped)
  const { rows } = await opened.catalogue.transaction((tx) =>
    sql<{ holder: string }>`select holder from lease where name = 'taken'`.execute(sqlOf(tx)),
  )
  assert.deepEqual(rows, [{ holder: 'another' }])
})
