import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PgBoss } from 'pg-boss'
import { SILENT } from '../base/logger.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { openQueue } from './queue.ts'
import { connectionOptions } from './sql/connection.ts'

const DAY_SECONDS = 24 * 3600
let opened: TestCatalogue

before(async () => {
  opened = await openTestCatalogue('queue')
})

after(async () => {
  await opened[Symbol.asyncDispose]()
})

test('a job may run for days, as long as its heartbeats come', async () => {
  // Twice, as a service that starts again does.
  for (let start = 1; start <= 2; start += 1) {
    await using _ = await openQueue(opened.catalogue, SILENT, true)
  }
  const boss = new PgBoss({
    ...(connectionOptions(opened.catalogue.connection) as { host: string; port: number }),
    supervise: false,
  })
  await boss.start()
  try {
    await boss.send('take-backup', {}, { singletonKey: 'one' })
    const [job] = await boss.fetch('take-backup')
    assert.ok(Number(job?.expireInSeconds) >= 20 * DAY_SECONDS)
    // Milliseconds of a longer one do not fit a timer of Node.
    assert.ok(Number(job?.expireInSeconds) * 1000 < 2 ** 31)
    assert.equal(job?.heartbeatSeconds, 10)
  } finally {
    await boss.stop({ graceful: false })
  }
})
