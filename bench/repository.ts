import { mkdir, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { pseudoRandom } from '../src/testing/pseudo-random.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'
import type { Cost } from './measured.ts'
import { measuredCommand, summed } from './measured.ts'
import type { PageFiles } from './page-files.ts'
import { changePages, modelPages, PAGE_BYTES, writePageFiles } from './page-files.ts'
import { mebibytes, median, note, surroundings, table } from './report.ts'
import { StoreProcess } from './store-process.ts'

/**
 * Backup, restore and reclaim of made-up pages, beside `cp` and `zstd -1` of the same bytes, taken
 * in turns in one run: `node bench/repository.ts [--size MiB] [--rounds n] [--seed n]`.
 */
interface Step {
  readonly name: string
  readonly costs: Cost[]
  /** Bytes stored new, or given back, in each round. */
  readonly bytes: number[]
}

const THREADS = 2

interface Run {
  readonly files: PageFiles
  readonly change: (share: number) => Promise<void>
  readonly scratch: string
  readonly steps: Map<string, Step>
}

async function plainCopy({ files, scratch }: Run): Promise<Cost> {
  const target = join(scratch, 'copy')
  const copy = await measuredCommand('cp', ['-r', files.directory, target])
  const synced = files.paths.map((path) => join(target, 'base', basename(path)))
  const cost = summed([copy, await measuredCommand('sync', synced)])
  await rm(target, { recursive: true })
  return cost
}

async function compressed({ files, scratch }: Run): Promise<[Cost, number]> {
  const target = join(scratch, 'zstd')
  await mkdir(target)
  const options = ['-1', `-T${THREADS}`, '-q', '--output-dir-flat', target, ...files.paths]
  const pack = await measuredCommand('zstd', options)
  const packed = files.paths.map((path) => join(target, `${basename(path)}.zst`))
  const cost = summed([pack, await measuredCommand('sync', packed)])
  let bytes = 0
  for (const path of packed) bytes += (await stat(path)).size
  await rm(target, { recursive: true })
  return [cost, bytes]
}

function record({ steps }: Run, name: string, cost: Cost, bytes: number): void {
  const step = steps.get(name) ?? { name, costs: [], bytes: [] }
  steps.set(name, step)
  step.costs.push(cost)
  step.bytes.push(bytes)
  note(`  ${name}: ${cost.seconds.toFixed(2)} s`)
}

async function store(run: Run, program: StoreProcess, name: string): Promise<void> {
  const { cost, stored } = await program.ask({ act: 'store', from: run.files.directory })
  record(run, name, cost, (stored?.dataBytes ?? 0) + (stored?.mapBytes ?? 0))
}

/** Gives the number of packs that were rewritten. */
async function end(
  run: Run,
  program: StoreProcess,
  name: string,
  numbers: readonly number[],
): Promise<number> {
  const { cost, reclaimed } = await program.ask({ act: 'end', numbers })
  record(run, name, cost, reclaimed?.freedBytes ?? 0)
  return reclaimed?.packsRewritten ?? 0
}

async function round(run: Run): Promise<void> {
  record(run, 'cp and sync', await plainCopy(run), run.files.pages * PAGE_BYTES)
  record(run, `zstd -1 -T${THREADS} and sync`, ...(await compressed(run)))
  await using program = new StoreProcess()
  await store(run, program, 'backup: first')
  await store(run, program, 'backup: nothing changed')
  await run.change(0.01)
  await store(run, program, 'backup: 1 % of the pages changed')
  const into = join(run.scratch, 'restored')
  const restored = await program.ask({ act: 'restore', number: 3, into, verify: false })
  record(run, 'restore', restored.cost, run.files.pages * PAGE_BYTES)
  await measuredCommand('diff', ['-r', run.files.directory, into])
  await rm(into, { recursive: true })
  // Half as many writes as there are pages: some hit the same one, and 39 % of the pages change.
  await run.change(0.5)
  await store(run, program, 'backup: 39 % of the pages changed')
  const rewriting = 'reclaim: 63 % of every pack, by rewriting'
  if ((await end(run, program, rewriting, [1, 2, 3])) === 0)
    throw new Error('nothing was rewritten')
  await end(run, program, 'reclaim: all that is left', [4])
}

function report(run: Run): string {
  const gibibytes = (run.files.pages * PAGE_BYTES) / 1024 ** 3
  const base = run.steps.get('cp and sync')?.costs ?? []
  const rows = [...run.steps.values()].map(({ name, costs, bytes }) => {
    const seconds = median(costs.map((cost) => cost.seconds))
    const ratios = costs.map((cost, index) => cost.seconds / (base[index]?.seconds ?? Number.NaN))
    return [
      name,
      seconds.toFixed(2),
      ((gibibytes * 1024) / seconds).toFixed(0),
      median(ratios).toFixed(2),
      (median(costs.map((cost) => cost.cpuSeconds)) / gibibytes).toFixed(2),
      mebibytes(median(costs.map((cost) => cost.peakBytes)), 0),
      mebibytes(median(bytes)),
    ]
  })
  const head = ['step', 's', 'MiB/s', 'time ÷ cp', 'CPU s/GiB', 'peak MiB', 'bytes, MiB']
  return table(head, rows)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '4096' },
      rounds: { type: 'string', default: '3' },
      seed: { type: 'string', default: '1' },
    },
  })
  const random = pseudoRandom(Number(values.seed))
  await using folder = await temporaryFolder('bench')
  const models = modelPages(random)
  const sizeBytes = Number(values.size) * 1024 ** 2
  const source = join(folder.path, 'source')
  const files = await writePageFiles(source, sizeBytes, models, random)
  const change = (share: number) =>
    changePages(files, Math.round(files.pages * share), models, random)
  const run: Run = { files, change, scratch: folder.path, steps: new Map() }
  for (let number = 1; number <= Number(values.rounds); number += 1) {
    note(`round ${number} of ${values.rounds}`)
    await round(run)
  }
  const shape = `${mebibytes(sizeBytes, 0)} MiB of pages, seed ${values.seed}`
  process.stdout.write(`${shape}, medians of ${values.rounds} rounds in turns. `)
  process.stdout.write(`${surroundings()}.\n\n${report(run)}`)
}

await main()
