import { cpus, loadavg, release, totalmem } from 'node:os'

/** The value in the middle; of an even number of them the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** A table in Markdown: the first column to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows]
  return `${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`
}

/** Where and when a result comes from: figures of another machine are others. */
export function surroundings(): string {
  const models = cpus()
  const gibibytes = Math.round(totalmem() / 1024 ** 3)
  return [
    `Linux ${release()}, ${models.length} × ${models[0]?.model ?? 'unknown CPU'}`,
    `${gibibytes} GiB memory, Node ${process.version}`,
    `load ${loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')} at the end`,
  ].join(', ')
}

export function mebibytes(bytes: number, digits = 1): string {
  return (bytes / 1024 ** 2).toFixed(digits)
}

/** Progress, so that a long run is seen to go on; the result alone goes to standard output. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}
