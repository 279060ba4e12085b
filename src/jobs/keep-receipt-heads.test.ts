import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { endAlarms, listEvents } from '../catalogue/events.ts'
import { openTestCatalogue, type TestCatalogue } from '../testing/catalogue-server.ts'
import { appendReceipts, tamper, testChain } from '../testing/receipt-parts.ts'
import { until } from '../testing/service-process.ts'
import { keepReceiptHeads } from './keep-receipt-heads.ts'
import {
  HeldHeads,
  headsLockOf,
  type KeptHeads,
  keeperOf,
  readHeadsFile,
  writeHeadsFile,
} from './receipt-heads-file.ts'

const chain = testChain()
let opened: TestCatalogue
let file: string
const said: string[] = []
const note = (message: string) => void said.push(message)
const log: Logger = { info: note, warn: note, error: note, child: () => log }

before(async () => {
  opened = await openTestCatalogue('keep-heads')
  file = join(opened.folder.root, 'receipt-heads.json')
})
after(() => opened[Symbol.asyncDispose]())
beforeEach(async () => {
  await tamper(opened.catalogue, 'truncate receipt, receipt_head, event, alarm')
  await rm(file, { force: true })
  said.length = 0
})

/** Runs the duty while `work` runs, and then its last look. */
async function whileKeeping(
  work: () => Promise<void>,
  pace?: Parameters<typeof keepReceiptHeads>[3],
): Promise<void> {
  const stopping = new AbortController()
  const needs = { catalogue: opened.catalogue, receipts: chain, receiptHeadsFile: file }
  const running = keepReceiptHeads(needs, log, stopping.signal, pace)
  try {
    await work()
  } finally {
    stopping.abort()
    await running
  }
}

async function kept(): Promise<KeptHeads | null> {
  return readHeadsFile(file, chain)
}

async function keptNumber(instanceId: string): Promise<number | undefined> {
  return (await kept())?.chains.get(instanceId as InstanceId)?.number
}

function append(instanceId: string, count: number): Promise<void> {
  return appendReceipts(opened.catalogue, chain, instanceId, count)
}

async function told(): Promise<readonly (readonly [kind: string, instanceId: string | null])[]> {
  const events = await opened.catalogue.transaction((tx) => listEvents(tx, 0))
  return events.map(({ kind, instanceId }) => [kind, instanceId])
}

/** Cuts the chain of pgm-a off behind number 2, in the catalogue's own head too. */
async function truncateA(): Promise<void> {
  await tamper(opened.catalogue, `delete from receipt where instance_id = 'pgm-a' and n > 2`)
  await tamper(
    opened.catalogue,
    `update receipt_head h set n = 2, hash = r.hash from receipt r
       where h.instance_id = 'pgm-a' and r.instance_id = 'pgm-a' and r.n = 2`,
  )
}

test('begins the file empty, and brings each head up to date while it runs', async () => {
  await whileKeeping(async () => {
    await until(async () => (await kept()) !== null, 'the file is begun')
    assert.equal((await kept())?.chains.size, 0)
    await append('pgm-a', 2)
    await until(async () => (await keptNumber('pgm-a')) === 2, 'the head is kept')
    await append('pgm-b', 1)
    await append('pgm-a', 1)
    await until(async () => (await keptNumber('pgm-a')) === 3, 'it moves on')
    await until(async () => (await keptNumber('pgm-b')) === 1, 'the other too')
  })
  assert.deepEqual(await told(), [])
  assert.deepEqual(said, ['file of receipt heads begun'])
})

test('looks once more when it is stopped, and goes on with the file afterwards', async () => {
  await whileKeeping(() => append('pgm-a', 1))
  assert.equal(await keptNumber('pgm-a'), 1)
  const began = (await kept())?.began
  await append('pgm-a', 1)
  await whileKeeping(async () => {})
  assert.equal(await keptNumber('pgm-a'), 2)
  assert.equal((await kept())?.began, began)
})

test('never moves a head back: one that was cut off is told once, others go on', async () => {
  await append('pgm-a', 4)
  await append('pgm-b', 1)
  await whileKeeping(async () => {})
  await truncateA()
  for (let starts = 0; starts < 2; starts += 1) {
    await whileKeeping(async () => {
      await until(async () => said.includes('receipts broken'), 'it is noticed')
      await append('pgm-b', 1)
    })
    assert.equal(await keptNumber('pgm-a'), 4)
    assert.equal(await keptNumber('pgm-b'), starts + 2)
  }
  assert.deepEqual(await told(), [['receipts-broken', 'pgm-a']])
})

test('notices a chain that was cut off while it runs as soon as another receipt follows', async () => {
  await append('pgm-a', 4)
  await whileKeeping(async () => {
    await until(async () => (await keptNumber('pgm-a')) === 4, 'the head is kept')
    await truncateA()
    await append('pgm-a', 3)
    await until(async () => (await told()).length > 0, 'it is told')
  })
  assert.equal(await keptNumber('pgm-a'), 4)
  assert.deepEqual(await told(), [['receipts-broken', 'pgm-a']])
})

test('keeps a head whose chain has gone from the catalogue altogether', async () => {
  await append('pgm-a', 1)
  await whileKeeping(async () => {})
  await tamper(opened.catalogue, 'truncate receipt, receipt_head')
  await whileKeeping(async () => {})
  assert.equal(await keptNumber('pgm-a'), 1)
  assert.deepEqual(await told(), [['receipts-broken', 'pgm-a']])
})

test('leaves a file that somebody changed as it is, until it is moved away', async () => {
  await append('pgm-a', 2)
  await whileKeeping(async () => {})
  const forged = (await readFile(file, 'utf8')).replace('"pgm-a",2', '"pgm-a",1')
  await writeFile(file, forged)
  await whileKeeping(async () => {
    await append('pgm-a', 1)
    await until(async () => (await told()).length > 0, 'it is told')
    assert.equal(await readFile(file, 'utf8'), forged)
    await rename(file, `${file}.away`)
    await until(async () => (await keptNumber('pgm-a')) === 3, 'it is begun anew')
  })
  assert.deepEqual(await told(), [['receipts-broken', null]])
  assert.ok(said.includes('file of receipt heads begun anew'))
  await rm(`${file}.away`)
})

test('begins anew while receipts go on, when the file is moved away with a broken chain in it', async () => {
  await append('pgm-a', 4)
  await whileKeeping(async () => {
    await until(async () => (await keptNumber('pgm-a')) === 4, 'the head is kept')
    await truncateA()
    await append('pgm-a', 1)
    await until(async () => (await told()).length > 0, 'it is told')
    await append('pgm-b', 1)
    await until(async () => (await keptNumber('pgm-b')) === 1, 'others go on')
    await rename(file, `${file}.away`)
    await append('pgm-b', 1)
    await until(async () => (await keptNumber('pgm-b')) === 2, 'it is begun anew')
    assert.equal(await keptNumber('pgm-a'), 3)
  })
  assert.ok(said.includes('file of receipt heads begun anew'))
  assert.deepEqual(await told(), [['receipts-broken', 'pgm-a']])
  await rm(`${file}.away`)
})

test('takes no head that is no receipt for the end of a chain, and goes on when it is repaired', async () => {
  await append('pgm-a', 2)
  await whileKeeping(
    async () => {
      await until(async () => (await keptNumber('pgm-a')) === 2, 'the head is kept')
      await tamper(
        opened.catalogue,
        `update receipt_head set n = 1000, changed = pg_current_xact_id()`,
      )
      await until(async () => (await told()).length > 0, 'it is told')
      assert.equal(await keptNumber('pgm-a'), 2)
      await tamper(opened.catalogue, `update receipt_head set n = 2`)
      await append('pgm-a', 1)
      await until(async () => (await keptNumber('pgm-a')) === 3, 'it goes on')
    },
    { looksPerFullOne: 1 },
  )
  assert.deepEqual(await told(), [['receipts-broken', 'pgm-a']])
})

test('takes the lock again when the process that held it for this one is killed', async () => {
  await append('pgm-a', 1)
  await whileKeeping(
    async () => {
      await until(async () => (await keptNumber('pgm-a')) === 1, 'the head is kept')
      process.kill(await lockHolder(), 'SIGKILL')
      await until(async () => said.includes('lock on receipt heads lost'), 'it is noticed')
      await append('pgm-a', 1)
      await until(async () => (await keptNumber('pgm-a')) === 2, 'it goes on')
    },
    { lockPauseMs: 10 },
  )
  assert.deepEqual(await told(), [])
})

/** The child of this process that holds the lock of the file. */
async function lockHolder(): Promise<number> {
  const children = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')
  for (const pid of children.trim().split(' ')) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    if (words.split('\0').includes(headsLockOf(file))) return Number(pid)
  }
  return assert.fail('nobody holds the lock')
}

for (const [what, change] of [
  ['was changed', (text: string) => text.replace('"pgm-a",2', '"pgm-a",1')],
  ['is an older one', null],
] as const) {
  test(`writes nothing over a file that ${what} while it runs, until it is as it was`, async () => {
    await append('pgm-a', 1)
    await whileKeeping(async () => {
      await until(async () => (await keptNumber('pgm-a')) === 1, 'the head is kept')
      const older = await readFile(file, 'utf8')
      await append('pgm-a', 1)
      await until(async () => (await keptNumber('pgm-a')) === 2, 'it moves on')
      const good = await readFile(file, 'utf8')
      const forged = change === null ? older : change(good)
      await writeFile(file, forged)
      await append('pgm-a', 1)
      await until(async () => (await told()).length > 0, 'it is told')
      assert.equal(await readFile(file, 'utf8'), forged)
      await writeFile(file, good)
      await until(async () => (await keptNumber('pgm-a')) === 3, 'it goes on')
    })
    assert.deepEqual(await told(), [['receipts-broken', null]])
  })
}

test('tells again of a break that it still sees, when somebody ended the alarm', async () => {
  await append('pgm-a', 4)
  await whileKeeping(async () => {})
  await truncateA()
  let looks = 0
  const ended = { kind: 'receipts-broken-ended', instanceId: null, details: {} } as const
  await whileKeeping(
    async () => {
      await until(async () => (await told()).length === 1, 'it is told')
      const subject = `pgm-a ${await keeperOf(file)}`
      await opened.catalogue.transaction((tx) => endAlarms(tx, 'receipts-broken', [subject], ended))
      looks = said.length
      await until(async () => (await told()).length === 3, 'it is told again')
    },
    { looksPerFullOne: 1 },
  )
  assert.deepEqual(await told(), [
    ['receipts-broken', 'pgm-a'],
    ['receipts-broken-ended', null],
    ['receipts-broken', 'pgm-a'],
  ])
  assert.deepEqual(said.slice(looks), ['receipts broken'])
})

test('takes the file for its own after a write of which only the end failed', async () => {
  const held = new HeldHeads(file, chain)
  const heads = { began: 0 as KeptHeads['began'], chains: new Map() }
  await held.write(heads)
  const later = { ...heads, began: 1000 as KeptHeads['began'] }
  await rename(file, `${file}.away`)
  await mkdir(join(file, 'x'), { recursive: true })
  await assert.rejects(held.write(later))
  await rm(file, { recursive: true })
  assert.equal(await held.isThere(), false)
  await writeHeadsFile(file, chain, later)
  assert.equal(await held.isThere(), true)
  await rename(`${file}.away`, file)
  await assert.rejects(held.isThere(), { kind: 'corrupt' })
})

test('keeps the name of its data folder, whatever becomes of the file', async () => {
  await whileKeeping(async () => {})
  const name = await keeperOf(file)
  assert.match(String(name), /^[a-z0-9]{16}$/)
  await rm(file)
  await whileKeeping(async () => {})
  assert.equal(await keeperOf(file), name)
  assert.equal(await keeperOf(`${file}.none`), null)
})

test('removes what a killed process left of a write, and goes on when writing fails', async () => {
  await writeFile(`${file}.abcdefgh.draft`, 'half')
  const missing = join(opened.folder.root, 'scratch', 'gone')
  await whileKeeping(async () => {
    await until(async () => (await kept()) !== null, 'the file is begun')
  })
  assert.deepEqual(
    (await readdir(opened.folder.root)).filter((name) => name.endsWith('.draft')),
    [],
  )
  await assert.rejects(writeHeadsFile(join(missing, 'x'), chain, (await kept()) as KeptHeads), {
    kind: 'not-found',
  })
})
