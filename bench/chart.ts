export interface Line {
  readonly name: string
  readonly points: readonly { readonly x: number; readonly middle: number; readonly high: number }[]
}

export interface Panel {
  readonly title: string
  readonly lines: readonly Line[]
}

const WIDTH = 420
const HEIGHT = 300
const MARGIN = { left: 52, top: 34, right: 14, bottom: 44 }
const COLOURS = ['#1b6ca8', '#d1495b', '#3a7d44', '#8a5fbf', '#b8860b']

/**
 * Panels side by side in SVG; both axes are logarithmic, alike in all panels. A line is the median, its
 * dashes are the 99th percentile, the grey line is the aim.
 */
export function drawChart(
  panels: readonly Panel[],
  axes: { readonly x: string; readonly y: string; readonly aim: number },
): string {
  const points = panels.flatMap(({ lines }) => lines.flatMap((line) => line.points))
  const scale = {
    x: logScale(
      points.map(({ x }) => x),
      MARGIN.left,
      WIDTH - MARGIN.right,
    ),
    y: logScale(
      points.flatMap(({ middle, high }) => [middle, high]).concat(axes.aim),
      HEIGHT - MARGIN.bottom,
      MARGIN.top,
    ),
  }
  const names = [...new Set(panels.flatMap(({ lines }) => lines.map(({ name }) => name)))]
  const width = panels.length * WIDTH
  const height = HEIGHT + 22 * Math.ceil(names.length / 2)
  const drawn = panels.map(
    (panel, index) =>
      `<g transform="translate(${index * WIDTH} 0)">${drawPanel(panel, names, scale, axes)}</g>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">
<title>${axes.y} against ${axes.x}</title>
<rect width="100%" height="100%" fill="#fff"/>
${drawn.join('\n')}
${names.map((name, index) => legend(name, index, names)).join('\n')}
</svg>
`
}

interface Scale {
  readonly at: (value: number) => number
  readonly ticks: readonly number[]
}

function logScale(values: readonly number[], from: number, to: number): Scale {
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))
  const at = (value: number) => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)) }
}

function drawPanel(
  { title, lines }: Panel,
  names: readonly string[],
  { x, y }: { readonly x: Scale; readonly y: Scale },
  axes: { readonly x: string; readonly y: string; readonly aim: number },
): string {
  const [left, right, bottom] = [MARGIN.left, WIDTH - MARGIN.right, HEIGHT - MARGIN.bottom]
  const grid = [
    ...y.ticks.map(
      (tick) =>
        across(y.at(tick), '#ddd', left, right) + label(tick, left - 6, y.at(tick) + 4, 'end'),
    ),
    ...x.ticks.map((tick) => label(tick, x.at(tick), bottom + 16, 'middle')),
    across(y.at(axes.aim), '#888', left, right),
  ]
  const drawn = lines.map((line) => {
    const colour = COLOURS[names.indexOf(line.name) % COLOURS.length] ?? '#000'
    return (
      path(
        line.points.map((point) => [x.at(point.x), y.at(point.middle)]),
        colour,
        '',
      ) +
      path(
        line.points.map((point) => [x.at(point.x), y.at(point.high)]),
        colour,
        '4 4',
      )
    )
  })
  return [
    `<text x="${left}" y="20" font-weight="bold">${title}</text>`,
    ...grid,
    ...drawn,
    `<text x="${(left + right) / 2}" y="${HEIGHT - 10}" text-anchor="middle">${axes.x}</text>`,
    `<text transform="translate(14 ${bottom}) rotate(-90)">${axes.y}</text>`,
  ].join('\n')
}

function across(y: number, colour: string, left: number, right: number): string {
  return `<path d="M${left} ${y.toFixed(1)}H${right}" stroke="${colour}" fill="none"/>`
}

function label(value: number, x: number, y: number, anchor: string): string {
  const text = value >= 1 ? value.toLocaleString('en') : String(value)
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${text}</text>`
}

function path(points: readonly (readonly number[])[], colour: string, dashes: string): string {
  const steps = points.map((point) => point.map((value) => value.toFixed(1)).join(' ')).join('L')
  return `<path d="M${steps}" stroke="${colour}" stroke-dasharray="${dashes}" stroke-width="2" fill="none"/>`
}

function legend(name: string, index: number, names: readonly string[]): string {
  const colour = COLOURS[names.indexOf(name) % COLOURS.length] ?? '#000'
  const [x, y] = [MARGIN.left + (index % 2) * WIDTH, HEIGHT + 12 + 22 * Math.floor(index / 2)]
  return `<path d="M${x} ${y}h24" stroke="${colour}" stroke-width="2"/><text x="${x + 32}" y="${y + 4}">${name}</text>`
}
