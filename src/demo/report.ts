import type { WriteStream } from 'node:tty'

/** What a person reads while the demonstration runs, and what decides its exit code. */
export interface Report {
  /** Begins a numbered part. */
  part(title: string): void
  line(text?: string): void
  /** Something as it was sent or received, line by line. */
  quote(text: string): void
  /** Columns as wide as their widest cell; numbers are the caller's to format. */
  table(rows: readonly (readonly string[])[]): void
  /** A statement that must hold; one that does not makes the demonstration fail. */
  check(holds: boolean, statement: string): void
  /** Overwritten by the next output; on a terminal only. */
  progress(text: string): void
  readonly checks: number
  readonly failures: number
}

const INDENT = '   '

/** Colours and progress only where `stream` is a terminal. */
export function createReport(stream: NodeJS.WriteStream | WriteStream): Report {
  const terminal = stream.isTTY === true
  const started = performance.now()
  let parts = 0
  let checks = 0
  let failures = 0
  let unfinished = false
  const paint = (code: string, text: string) => (terminal ? `\x1b[${code}m${text}\x1b[0m` : text)
  const write = (text: string) => {
    stream.write(`${unfinished ? '\r\x1b[K' : ''}${text}\n`)
    unfinished = false
  }
  return {
    part: (title) => {
      parts += 1
      const seconds = `${((performance.now() - started) / 1000).toFixed(0)} s`
      write(`\n${paint('1', `${parts}. ${title}`)}  ${paint('2', `[${seconds}]`)}`)
    },
    line: (text = '') => write(text === '' ? '' : `${INDENT}${text}`),
    quote: (text) => {
      for (const line of text.split('\n')) write(`${INDENT}${paint('2', '|')} ${line}`)
    },
    table: (rows) => {
      for (const line of alignColumns(rows)) write(`${INDENT}${line}`)
    },
    check: (holds, statement) => {
      checks += 1
      if (!holds) failures += 1
      write(`${INDENT}${holds ? paint('32', '✓') : paint('31', '✗')} ${statement}`)
    },
    progress: (text) => {
      if (!terminal) return
      stream.write(`\r\x1b[K${INDENT}${paint('2', text)}`)
      unfinished = true
    },
    get checks() {
      return checks
    },
    get failures() {
      return failures
    },
  }
}

/** `12.3 MiB`. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** `12 345 678 B`, for figures that are compared to the byte. */
export function exactBytes(bytes: number): string {
  return `${String(bytes).replace(/\B(?=(\d{3})+$)/g, ' ')} B`
}

function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
    }
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
