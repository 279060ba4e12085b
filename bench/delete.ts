import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { instant } from '../src/base/clock.ts'
import type { InstanceId } from '../src/base/ids.ts'
import { countWrongSums } from '../src/catalogue/audit.ts'
import type { Connection } from '../src/catalogue/database.ts'
import { openTestCatalogue } from '../src/testing/catalogue-server.ts'
import { type PseudoRandom, pseudoRandom } from '../src/testing/pseudo-random.ts'
import {
  CASES,
  type Case,
  COUNTS,
  countCall,
  RUNS,
  type Target,
  timeCalls,
} from './delete-cases.ts'
import { type Point, reportDeletes } from './delete-report.ts'
import { FilledCatalogue } from './filled-catalogue.ts'
import { WORKLOADS } from './made-up-history.ts'
import { note } from './report.ts'

/**
 * DeleteBackup and what belongs to it on catalogues with 10² to 10⁴ sets, in one instance and over
 * many: `node bench/delete.ts [--sets n,n,…] [--calls n] [--rounds n] [--seed n] [--chart file]`.
 * The histories are measured in turns, in rounds.
 */
const NOW = instant(1_800_000_000_000)
/** Sets of an instance where there are many. */
const PER_INSTANCE = 250

interface Run {
  readonly connection: Connection
  readonly callsPerRound: number
  readonly random: PseudoRandom
}

function instanceOf(index: number): InstanceId {
  return `pgm-${String(index).padStart(16, '0')}` as InstanceId
}

async function fill({ connection }: Run, point: Point): Promise<void> {
  const { database, sets, shape, workload } = point
  await using filled = await FilledCatalogue.create(connection, database, NOW)
  const size = shape === 'one instance' ? sets : Math.min(sets, PER_INSTANCE)
  for (let index = 0; index < sets / size; index += 1) {
    const instanceId = instanceOf(index)
    await filled.insert({ instanceId, sets: size, state: 'kept', workload: WORKLOADS[workload] })
  }
  // As many again were deleted and wait for the end of their undelete window.
  const waiting = { instanceId: 'pgm-00000000waiting1', sets, state: 'deleted' } as const
  await filled.insert({ ...waiting, workload: WORKLOADS.append })
  await filled.vacuum()
  const wrong = await filled.catalogue.transaction(countWrongSums)
  if (wrong > 0) throw new Error(`${wrong} sums of ${database} are wrong`)
}

async function targetsOf(filled: FilledCatalogue, { sets, shape }: Point): Promise<Target[]> {
  const count = shape === 'one instance' ? 1 : Math.max(1, sets / PER_INSTANCE)
  const targets: Target[] = []
  for (let index = 0; index < count; index += 1) {
    const instanceId = instanceOf(index)
    targets.push({ instanceId, free: await filled.freeSets(instanceId) })
  }
  return targets
}

/** One round of one history: each case some times. */
async function measure(run: Run, point: Point, cases: readonly Case[]): Promise<void> {
  await using filled = await FilledCatalogue.open(run.connection, point.database, NOW)
  const targets = await targetsOf(filled, point)
  for (const one of cases) {
    await filled.vacuum('changed')
    const measured = point.measured.get(one.name) ?? { rounds: [], work: null }
    measured.work ??= await countCall(filled, targets, one, run.random)
    const times = await timeCalls(filled, targets, one, run.callsPerRound, run.random)
    if (times === null) continue
    measured.rounds.push(times)
    point.measured.set(one.name, measured)
  }
}

function pointsOf(sizes: readonly number[]): Point[] {
  const points: Point[] = []
  for (const shape of ['one instance', 'many instances'] as const) {
    for (const workload of ['append', 'random writes'] as const) {
      for (const sets of sizes) {
        const database = `${shape}_${workload}_${sets}`.replaceAll(' ', '_')
        points.push({ database, shape, workload, sets, measured: new Map() })
      }
    }
  }
  return points
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sets: { type: 'string', default: '100,500,2000,10000' },
      calls: { type: 'string', default: '200' },
      rounds: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      chart: { type: 'string', default: 'bench/results/delete.svg' },
    },
  })
  const rounds = Number(values.rounds)
  const callsPerRound = Math.ceil(Number(values.calls) / rounds)
  await using server = await openTestCatalogue('bench')
  const random = pseudoRandom(Number(values.seed))
  const run: Run = { connection: server.catalogue.connection, callsPerRound, random }
  const points = pointsOf(values.sets.split(',').map(Number))
  for (const point of points) {
    note(`filling ${point.database}`)
    await fill(run, point)
  }
  for (let round = 1; round <= rounds; round += 1) {
    note(`round ${round} of ${rounds}`)
    // Whatever goes up or down during a round must not look like a slope.
    for (const point of round % 2 === 0 ? points.toReversed() : points) {
      const longest = point.sets === points.at(-1)?.sets && point.shape === 'one instance'
      const more = longest && point.workload === 'random writes' ? [...RUNS, ...COUNTS] : []
      await measure(run, point, [...CASES, ...more])
    }
  }
  const { text, chart } = reportDeletes(points, callsPerRound * rounds, rounds)
  await writeFile(values.chart, chart)
  process.stdout.write(`Seed ${values.seed}. ${text}`)
}

await main()
