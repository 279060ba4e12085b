import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pause } from '../src/base/clock.ts'
import { sizeOfFiles } from '../src/base/folder-size.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'
import { change, loadCustomers, WORKLOADS } from './customer-table.ts'
import type { DebianPostgres } from './debian-postgres.ts'
import { startDebianPostgres } from './debian-postgres.ts'
import type { Cost } from './measured.ts'
import { familyCpuSeconds, measuredCommand, summed } from './measured.ts'
import { fetchPgBackRest, PgBackRest } from './pg-backrest.ts'
import { mebibytes, median, note, surroundings, table } from './report.ts'
import { StoreProcess } from './store-process.ts'

/**
 * Backup and restore of a PostgreSQL 15 through our engine and repository, beside pg_basebackup and
 * pgBackRest of the distribution's packages, on the same data, in turns in one run:
 * `node bench/backup.ts [--size MiB] [--rounds n]`.
 */
interface Step {
  readonly name: string
  /** The step that the ratio of times is taken to, in the same round. */
  readonly against: string
  readonly costs: Cost[]
  /** CPU time that the server spent meanwhile: pgBackRest reads the files itself, others ask it. */
  readonly serverSeconds: number[]
  readonly bytes: number[]
}

interface Run {
  readonly server: DebianPostgres
  readonly backrest: PgBackRest
  readonly folder: string
  readonly rows: number
  readonly steps: Map<string, Step>
}

interface Done {
  readonly cost: Cost
  readonly bytes: number
}

const FULL = 'backup, first: pgBackRest full'
const LATER = 'backup, rows changed: pgBackRest incr'
const RESTORE = 'restore: pgBackRest'
/** After its last client has gone, the server's own books are closed in this time. */
const SETTLE_MS = 300

async function step(
  run: Run,
  name: string,
  against: string,
  work: () => Promise<Done>,
): Promise<void> {
  await measuredCommand('sync', ['-f', run.folder])
  const before = await familyCpuSeconds(run.server.pid)
  const { cost, bytes } = await work()
  await pause(SETTLE_MS)
  const found = run.steps.get(name) ?? { name, against, costs: [], serverSeconds: [], bytes: [] }
  run.steps.set(name, found)
  found.costs.push(cost)
  found.serverSeconds.push((await familyCpuSeconds(run.server.pid)) - before)
  found.bytes.push(bytes)
  note(`  ${name}: ${cost.seconds.toFixed(2)} s`)
}

async function baseBackup(run: Run, into: string, options: readonly string[]): Promise<Done> {
  const { bin, connection } = run.server
  const program = join(bin, 'pg_basebackup')
  const always = ['-d', connection, '-D', into, '-X', 'stream', '-c', 'fast']
  const cost = await measuredCommand(program, [...always, ...options])
  return { cost, bytes: await sizeOfFiles(into) }
}

async function backrestBackup({ backrest }: Run, type: 'full' | 'incr'): Promise<Done> {
  const before = await sizeOfFiles(backrest.repository)
  const cost = await backrest.backup(type)
  return { cost, bytes: (await sizeOfFiles(backrest.repository)) - before }
}

async function ownBackup({ server }: Run, program: StoreProcess): Promise<Done> {
  const { cost, stored } = await program.ask({ act: 'backup', ...server.address })
  return { cost, bytes: (stored?.dataBytes ?? 0) + (stored?.mapBytes ?? 0) }
}

async function ownRestore(program: StoreProcess, into: string, verify: boolean): Promise<Done> {
  const { cost } = await program.ask({ act: 'restore', number: 2, into, verify })
  return removed(into, cost)
}

async function removed(directory: string, cost: Cost): Promise<Done> {
  const bytes = await sizeOfFiles(directory)
  await rm(directory, { recursive: true })
  return { cost, bytes }
}

async function unpack(run: Run, from: string, into: string): Promise<Done> {
  const { bin } = run.server
  const made = await measuredCommand('mkdir', ['-m', '0700', into])
  const untar = (archive: string, target: string): Promise<Cost> =>
    measuredCommand('tar', ['-xf', join(from, archive), '-C', target])
  const base = await untar('base.tar.zst', into)
  // The log's archive is never compressed.
  const log = await untar('pg_wal.tar', join(into, 'pg_wal'))
  const synced = await measuredCommand('sync', ['-f', into])
  const cost = summed([made, base, log, synced])
  await measuredCommand('cp', [join(from, 'backup_manifest'), into])
  await measuredCommand(join(bin, 'pg_verifybackup'), ['--no-parse-wal', into])
  return removed(into, cost)
}

async function round(run: Run, number: number): Promise<void> {
  const { backrest, folder } = run
  await using program = new StoreProcess()
  const plain = join(folder, 'plain')
  const packed = join(folder, 'packed')
  const into = join(folder, 'restored')
  await backrest.begin()
  await step(run, 'backup, first: pg_basebackup, plain', FULL, () => baseBackup(run, plain, []))
  await rm(plain, { recursive: true })
  await step(run, FULL, FULL, () => backrestBackup(run, 'full'))
  await step(run, 'backup, first: Holdfast', FULL, () => ownBackup(run, program))
  const changed = WORKLOADS['random writes']?.(run.rows, number) ?? ''
  await change(run.server.address, changed)
  const options = ['-Ft', '--compress=client-zstd:level=1,workers=2']
  await step(run, 'backup, rows changed: pg_basebackup, zstd 1, 2 workers', LATER, () =>
    baseBackup(run, packed, options),
  )
  await step(run, LATER, LATER, () => backrestBackup(run, 'incr'))
  await step(run, 'backup, rows changed: Holdfast', LATER, () => ownBackup(run, program))
  await step(run, 'restore: tar of the zstd 1 archives, sync', RESTORE, () =>
    unpack(run, packed, into),
  )
  await rm(packed, { recursive: true })
  await step(run, RESTORE, RESTORE, async () => removed(into, await backrest.restore(into)))
  await step(run, 'restore: Holdfast, chunks checked', RESTORE, () =>
    ownRestore(program, into, false),
  )
  await step(
    run,
    "restore: Holdfast, files checked against the server's manifest too",
    RESTORE,
    () => ownRestore(program, into, true),
  )
}

function report(steps: ReadonlyMap<string, Step>): string {
  const rows = [...steps.values()].map(({ name, against, costs, serverSeconds, bytes }) => {
    const base = steps.get(against)?.costs ?? []
    const ratios = costs.map((cost, index) => cost.seconds / (base[index]?.seconds ?? Number.NaN))
    return [
      name,
      median(costs.map((cost) => cost.seconds)).toFixed(2),
      median(ratios).toFixed(2),
      median(costs.map((cost) => cost.cpuSeconds)).toFixed(2),
      median(serverSeconds).toFixed(2),
      mebibytes(median(costs.map((cost) => cost.peakBytes)), 0),
      mebibytes(median(bytes)),
    ]
  })
  const head = ['step', 's', 'time ÷ pgBackRest', 'CPU s', 'CPU s of the server', 'peak MiB']
  return table([...head, 'bytes, MiB'], rows)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '2048' },
      rounds: { type: 'string', default: '3' },
    },
  })
  await using folder = await temporaryFolder('bench')
  const backrest = new PgBackRest(await fetchPgBackRest(folder.path), folder.path)
  await using server = await startDebianPostgres(folder.path, backrest.archiveCommand)
  await backrest.configure(server)
  await backrest.begin()
  const rows = await loadCustomers(server.address, Number(values.size) * 1024 ** 2)
  const run: Run = { server, backrest, folder: folder.path, rows, steps: new Map() }
  for (let number = 1; number <= Number(values.rounds); number += 1) {
    note(`round ${number} of ${values.rounds}`)
    await round(run, number)
  }
  const shape = `PostgreSQL 15 with about ${values.size} MiB of data (${rows} rows), 1 row in 500`
  process.stdout.write(`${shape} changed, medians of ${values.rounds} rounds in turns. `)
  process.stdout.write(`${surroundings()}.\n\n${report(run.steps)}`)
}

await main()
