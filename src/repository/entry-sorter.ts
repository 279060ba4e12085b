import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault, fileFault } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import type { ListEntry } from './list-entry.ts'
import { decodeListEntries, encodeListEntry } from './list-entry.ts'
import { comparePaths } from './path-order.ts'

/** Sorts entries by path in bounded memory. Disposing removes what was spooled. */
export interface EntrySorter extends AsyncDisposable {
  add(entry: ListEntry): void
  /** Spools what has been gathered when it is much; to be called between adds. */
  spill(): Promise<void>
  /** All entries, sorted; Fault 'unfit' when a path comes twice. Ends the adding. */
  sorted(): AsyncIterable<ListEntry>
}

/** Encoded bytes held before a run is spooled. */
const RUN_BYTES = 8 * 1024 * 1024
const READ_BYTES = 128 * 1024
const LENGTH_BYTES = 4

export function createEntrySorter(
  scratchDirectory: string,
  chunkBytes: number,
  runBytes: number = RUN_BYTES,
): EntrySorter {
  const folder = join(scratchDirectory, `list-${randomName(12)}`)
  const runs: FileHandle[] = []
  let gathered: ListEntry[] = []
  let gatheredBytes = 0

  return {
    add(entry) {
      gathered.push(entry)
      gatheredBytes += entrySize(entry)
    },
    async spill() {
      if (gatheredBytes < runBytes) return
      const entries = sortByPath(gathered)
      gathered = []
      gatheredBytes = 0
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 })
        const run = await open(join(folder, `${runs.length}`), 'wx+', 0o600)
        runs.push(run)
        await run.writeFile(encodeRun(entries))
      } catch (error) {
        throw fileFault(error, `cannot spool the list of files to ${folder}`)
      }
    },
    async *sorted() {
      const spooled = runs.map((run) => readRun(run, chunkBytes))
      let previous: string | null = null
      for await (const entry of merge([...spooled, sortByPath(gathered)])) {
        if (entry.path === previous) throw new Fault('unfit', `path ${entry.path} comes twice`)
        previous = entry.path
        yield entry
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(runs.splice(0).map((run) => run.close()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function sortByPath(entries: readonly ListEntry[]): readonly ListEntry[] {
  return entries.toSorted((left, right) => comparePaths(left.path, right.path))
}

function entrySize(entry: ListEntry): number {
  return entry.path.length + (entry.kind === 'file' ? entry.roots.length : 0) + 16
}

/** Each entry after its length. */
function* encodeRun(entries: readonly ListEntry[]): Iterable<Buffer> {
  for (const entry of entries) {
    const bytes = encodeListEntry(entry)
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32LE(bytes.length)
    yield Buffer.concat([length, bytes])
  }
}

async function* readRun(run: FileHandle, chunkBytes: number): AsyncIterable<ListEntry> {
  let rest: Buffer = Buffer.alloc(0)
  let at = 0
  for (;;) {
    const block = Buffer.allocUnsafe(READ_BYTES)
    const { bytesRead } = await run.read(block, 0, READ_BYTES, at)
    if (bytesRead === 0) return
    at += bytesRead
    rest = Buffer.concat([rest, block.subarray(0, bytesRead)])
    let taken = 0
    while (rest.length - taken >= LENGTH_BYTES) {
      const end = taken + LENGTH_BYTES + rest.readUInt32LE(taken)
      if (end > rest.length) break
      const entry = rest.subarray(taken + LENGTH_BYTES, end)
      yield* decodeListEntries(entry, chunkBytes, 'a spooled list')
      taken = end
    }
    rest = rest.subarray(taken)
  }
}

/** Few runs, so that looking at every head is cheap: a million entries are a dozen. */
async function* merge(
  sources: readonly (AsyncIterable<ListEntry> | Iterable<ListEntry>)[],
): AsyncIterable<ListEntry> {
  const heads: { entry: ListEntry; rest: AsyncIterator<ListEntry> | Iterator<ListEntry> }[] = []
  for (const source of sources) {
    const rest =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    const first = await rest.next()
    if (!first.done) heads.push({ entry: first.value, rest })
  }
  while (heads.length > 0) {
    const least = heads.reduce((left, right) =>
      comparePaths(right.entry.path, left.entry.path) < 0 ? right : left,
    )
    yield least.entry
    const next = await least.rest.next()
    if (next.done) heads.splice(heads.indexOf(least), 1)
    else least.entry = next.value
  }
}
