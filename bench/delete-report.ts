import { drawChart } from './chart.ts'
import { totals, type Work } from './counted-work.ts'
import { CASES, COUNTS, RUNS } from './delete-cases.ts'
import { surroundings, table } from './report.ts'
import { leastSquares, percentile, type Slope, slopeOf } from './slope.ts'

/** One history, and what was measured on it. */
export interface Point {
  readonly database: string
  readonly shape: 'one instance' | 'many instances'
  readonly workload: 'append' | 'random writes'
  readonly sets: number
  /** By the name of the case: milliseconds of the calls of each round. */
  readonly measured: Map<string, { readonly rounds: (readonly number[])[]; work: Work | null }>
}

const AIM_MS = 10
const CHARTED = ['delete 1', 'delete 100 scattered', 'delete 100 neighbours', 'preview 100']

export function reportDeletes(
  points: readonly Point[],
  calls: number,
  rounds: number,
): { readonly text: string; readonly chart: string } {
  const text = [
    `${calls} calls each, in ${rounds} rounds in turns. ${surroundings()}.`,
    'Milliseconds of a call from its parameters to its reply, the commit included: median / 99th percentile',
    ...groups(points).map(({ name, members }) => `### ${name}\n\n${timesOf(members)}`),
    '### What one call touches, in the longest history',
    workTable(points),
    '### Slopes, by least squares over the medians of each round, with the interval of 95 % confidence',
    slopeTable(points),
    costTable(points),
  ].join('\n\n')
  return { text: `${text}\n`, chart: chartOf(points) }
}

function groups(points: readonly Point[]) {
  const byName = Map.groupBy(points, ({ shape, workload }) => `${shape}, ${workload}`)
  return [...byName].map(([name, members]) => ({ name, members }))
}

function timesOf(members: readonly Point[]): string {
  const head = ['call', ...members.map(({ sets }) => `${sets} sets`)]
  const rows = CASES.map(({ name }) => [
    name,
    ...members.map((point) => {
      const times = timesIn(point, name).flat()
      if (times.length === 0) return '–'
      return `${percentile(times, 0.5).toFixed(1)} / ${percentile(times, 0.99).toFixed(1)}`
    }),
  ])
  return table(head, rows)
}

function workTable(points: readonly Point[]): string {
  const longest = groups(points).flatMap(({ name, members }) => {
    const point = members.at(-1)
    return point && point.shape === 'one instance' ? [{ name, point }] : []
  })
  const head = ['call', ...longest.flatMap(({ name }) => [`${name}: rows`, 'pages', 'log, KiB'])]
  const rows = CASES.filter(({ name }) => !name.includes('HTTP')).map(({ name }) => [
    name,
    ...longest.flatMap(({ point }) => {
      const work = point.measured.get(name)?.work
      if (!work) return ['–', '–', '–']
      const { rows, pages } = totals(work)
      return [String(rows), String(pages), (work.logBytes / 1024).toFixed(1)]
    }),
  ])
  return table(head, rows)
}

function slopeTable(points: readonly Point[]): string {
  const all = groups(points)
  const head = ['ms for ten times the sets', ...all.map(({ name }) => name)]
  const rows = CASES.map(({ name }) => [
    name,
    ...all.map(({ members }) => {
      const measured = members.filter((point) => timesIn(point, name).length > 0)
      if (measured.length < 2) return '–'
      return show(
        roundSlopes(measured.map((point) => [Math.log10(point.sets), timesIn(point, name)])),
      )
    }),
  ])
  return table(head, rows)
}

/** What more to do costs, where the history is the longest. */
function costTable(points: readonly Point[]): string {
  const point = points.find(({ measured }) => RUNS.every(({ name }) => measured.has(name)))
  if (!point) return ''
  const rows = RUNS.map(({ name, named }) => [name, rowsOf(point, name), named] as const)
  const perRow = roundSlopes(rows.map(([name, read]) => [read / 1000, timesIn(point, name)]))
  const perSet = roundSlopes(COUNTS.map(({ name, named }) => [named.count, timesIn(point, name)]))
  const head = ['random writes, the longest history', 'ms, median', 'rows']
  const cells = [...RUNS, ...COUNTS].map(({ name }) => [
    `delete ${name}`,
    percentile(timesIn(point, name).flat(), 0.5).toFixed(1),
    String(rowsOf(point, name)),
  ])
  return [
    table(head, cells),
    `For each set and the pack that it alone uses: ${show(perSet)} ms. `,
    `For each 1,000 rows more between the same 100 sets and packs: ${show(perRow)} ms.`,
  ].join('\n')
}

function rowsOf(point: Point, name: string): number {
  const work = point.measured.get(name)?.work
  return work ? totals(work).rows : Number.NaN
}

function timesIn(point: Point, name: string): readonly (readonly number[])[] {
  return point.measured.get(name)?.rounds ?? []
}

function roundSlopes(
  measured: readonly (readonly [x: number, rounds: readonly (readonly number[])[]])[],
): Slope {
  const rounds = Math.min(...measured.map(([, times]) => times.length))
  const slopes = Array.from({ length: rounds }, (_, round) =>
    leastSquares(measured.map(([x, times]) => [x, percentile(times[round] ?? [], 0.5)])),
  )
  return slopeOf(slopes)
}

function show({ perUnit, uncertainty }: Slope): string {
  return `${perUnit.toFixed(2)} ± ${uncertainty.toFixed(2)}`
}

function chartOf(points: readonly Point[]): string {
  const panels = groups(points)
    .filter(({ name }) => name.startsWith('one instance'))
    .map(({ name, members }) => ({
      title: name,
      lines: CHARTED.map((call) => ({
        name: call,
        points: members.flatMap((point) => {
          const times = timesIn(point, call).flat()
          if (times.length === 0) return []
          const [middle, high] = [percentile(times, 0.5), percentile(times, 0.99)]
          return [{ x: point.sets, middle, high }]
        }),
      })),
    }))
  return drawChart(panels, { x: 'sets of the instance', y: 'ms', aim: AIM_MS })
}
