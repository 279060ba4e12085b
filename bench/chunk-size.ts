import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LocalPostgres, sourceOf } from '../src/testing/local-postgres.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'
import type { ServerAddress, Workload } from './customer-table.ts'
import { change, loadCustomers, WORKLOADS } from './customer-table.ts'
import type { Cost } from './measured.ts'
import { mebibytes, note, surroundings, table } from './report.ts'
import { StoreProcess } from './store-process.ts'

/**
 * Ten sets of a real database under three ways of change, stored with chunks of 16, 32 and 64 KiB:
 * `node bench/chunk-size.ts [--size MiB] [--sets n]`. Each set is taken once from the server and
 * then stored by each size, so all store the same bytes; which size goes first changes in turns.
 */
const SIZES = [16, 32, 64].map((kibibytes) => kibibytes * 1024)
const SETS_MIN = 6

interface Outcome {
  readonly chunkBytes: number
  readonly stores: Cost[]
  /** Of the first set, then of each later one. */
  readonly dataBytes: number[]
  readonly mapBytes: number[]
  restore: Cost | null
  reclaim: Cost | null
  freedBytes: number
}

async function startServer(postgres: LocalPostgres): Promise<{
  readonly address: ServerAddress
  readonly snapshot: (into: string) => Promise<void>
}> {
  const [plan, server] = await postgres.startPrimary('primary')
  const { user, password } = plan
  return {
    address: { port: server.port, user, password: password.reveal() },
    async snapshot(into) {
      const { directory } = await postgres.backUp(sourceOf(plan))
      await rename(directory, into)
    },
  }
}

async function runWorkload(
  workload: Workload,
  sizeBytes: number,
  sets: number,
): Promise<readonly Outcome[]> {
  await using folder = await temporaryFolder('bench')
  await using postgres = await LocalPostgres.create()
  const { address, snapshot } = await startServer(postgres)
  const rows = await loadCustomers(address, sizeBytes)
  await using stack = new AsyncDisposableStack()
  const tried = SIZES.map((chunkBytes) => ({
    program: stack.use(new StoreProcess(chunkBytes)),
    outcome: newOutcome(chunkBytes),
  }))
  const taken = join(folder.path, 'set')
  for (let number = 1; number <= sets; number += 1) {
    if (number > 1) await change(address, workload(rows, number - 1))
    await rm(taken, { recursive: true, force: true })
    await snapshot(taken)
    const turn = number % tried.length
    for (const { program, outcome } of [...tried.slice(turn), ...tried.slice(0, turn)]) {
      await storeSet(program, outcome, taken)
    }
    note(`  set ${number} of ${sets}`)
  }
  const middle = Array.from({ length: Math.floor(sets / 2) }, (_, index) => index + 3)
  for (const { program, outcome } of tried) {
    const into = join(folder.path, `${outcome.chunkBytes}`)
    outcome.restore = (await program.ask({ act: 'restore', number: sets, into, verify: true })).cost
    await rm(into, { recursive: true })
    const { cost, reclaimed } = await program.ask({ act: 'end', numbers: middle })
    outcome.reclaim = cost
    outcome.freedBytes = reclaimed?.freedBytes ?? 0
  }
  return tried.map(({ outcome }) => outcome)
}

function newOutcome(chunkBytes: number): Outcome {
  const nothing = { stores: [], dataBytes: [], mapBytes: [] }
  return { chunkBytes, ...nothing, restore: null, reclaim: null, freedBytes: 0 }
}

async function storeSet(program: StoreProcess, outcome: Outcome, from: string): Promise<void> {
  const { cost, stored } = await program.ask({ act: 'store', from })
  if (stored?.chunkBytes !== outcome.chunkBytes) {
    throw new Error(`chunks of ${stored?.chunkBytes} bytes instead of ${outcome.chunkBytes}`)
  }
  outcome.stores.push(cost)
  outcome.dataBytes.push(stored.dataBytes)
  outcome.mapBytes.push(stored.mapBytes)
}

function rowOf(name: string, outcome: Outcome): string[] {
  const [first = 0, ...later] = outcome.dataBytes
  const [firstMap = 0, ...laterMaps] = outcome.mapBytes
  const cpu = outcome.stores.reduce((total, cost) => total + cost.cpuSeconds, 0)
  const seconds = outcome.stores.reduce((total, cost) => total + cost.seconds, 0)
  const total = sum(outcome.dataBytes) + sum(outcome.mapBytes)
  return [
    `${name}, ${outcome.chunkBytes / 1024} KiB`,
    mebibytes(first),
    mebibytes(sum(later)),
    mebibytes(firstMap, 2),
    mebibytes(sum(laterMaps), 2),
    mebibytes(total),
    seconds.toFixed(1),
    cpu.toFixed(1),
    (outcome.restore?.seconds ?? Number.NaN).toFixed(1),
    mebibytes(outcome.freedBytes),
    (outcome.reclaim?.seconds ?? Number.NaN).toFixed(2),
  ]
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '512' },
      sets: { type: 'string', default: '10' },
    },
  })
  const sets = Number(values.sets)
  if (!(sets >= SETS_MIN)) throw new Error(`--sets is at least ${SETS_MIN}`)
  const rows: string[][] = []
  for (const [name, workload] of Object.entries(WORKLOADS)) {
    note(name)
    const outcomes = await runWorkload(workload, Number(values.size) * 1024 ** 2, sets)
    for (const outcome of outcomes) rows.push(rowOf(name, outcome))
  }
  const head = [
    ...['workload, chunk', 'first set, MiB', 'later sets, MiB', 'its maps', 'their maps'],
    ...['all, MiB', 'storing, s', 'CPU, s', 'restore, s', 'freed, MiB', 'reclaim, s'],
  ]
  const shape = `${sets} sets of a database of about ${values.size} MiB, sets 3 to `
  process.stdout.write(`${shape}${2 + Math.floor(sets / 2)} deleted at the end. `)
  process.stdout.write(`${surroundings()}.\n\n${table(head, rows)}`)
}

await main()
