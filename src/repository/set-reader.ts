import { invariant } from '../base/fault.ts'
import type { RestoredEntry, RestoredFile } from '../base/file-tree.ts'
import type { SeriesId } from '../base/ids.ts'
import type { StoredSet } from '../series/series.ts'
import type { ChunkLoader } from './chunk-loader.ts'
import type { ChunkAtPlace } from './chunk-ref.ts'
import type { ListEntry, ListedFile } from './list-entry.ts'
import type { SetReader } from './repository.ts'
import type { StoredTree } from './stored-tree.ts'
import { openStoredTree } from './stored-tree.ts'
import type { Stores } from './stores.ts'

export async function openSetReader(
  stores: Stores,
  set: StoredSet,
  signal: AbortSignal,
): Promise<SetReader> {
  const tree = await openStoredTree(stores, set, signal)
  return {
    description: tree.manifest.description,
    contentBytes: tree.manifest.contentBytes,
    entryCount: tree.manifest.entryCount,
    entries: (during) => restoredEntries(tree, stores.loader, during),
  }
}

/** What a restore meets, one after the other: an entry, then the chunks of its content. */
type Step = { readonly entry: ListEntry } | { readonly chunk: ChunkAtPlace }
type LoadedStep = { readonly entry: ListEntry } | { readonly bytes: Uint8Array }

/** Contents are read in windows of this much; two are held at once. */
const WINDOW_BYTES = 4 * 1024 * 1024
const WINDOW_STEPS_MAX = 4096

async function* restoredEntries(
  tree: StoredTree,
  loader: ChunkLoader,
  signal: AbortSignal,
): AsyncIterable<RestoredEntry> {
  const stop = new AbortController()
  const inside = AbortSignal.any([signal, stop.signal])
  const windows = cutWindows(stepsOf(tree, inside))
  const steps = loadAhead(windows, loader, tree.manifest.series, inside)
  try {
    for (let next = await steps.next(); !next.done; next = await steps.next()) {
      invariant('entry' in next.value, 'a content is consumed before the next entry is asked for')
      const { entry } = next.value
      yield entry.kind === 'file' ? restoredFile(entry, steps) : entry
    }
  } finally {
    stop.abort()
    await steps.return()
  }
}

async function* stepsOf(tree: StoredTree, signal: AbortSignal): AsyncIterable<Step> {
  for await (const entry of tree.entries(signal)) {
    yield { entry }
    if (entry.kind !== 'file') continue
    const file = tree.file(entry)
    for (let index = 0; ; index += 1) {
      const chunk = await file.at(0, index, signal)
      if (!chunk) break
      yield { chunk }
    }
  }
}

async function* cutWindows(
  steps: AsyncIterable<Step>,
): AsyncGenerator<readonly Step[], void, void> {
  let window: Step[] = []
  let bytes = 0
  for await (const step of steps) {
    window.push(step)
    if ('chunk' in step) bytes += step.chunk.rawBytes
    if (bytes < WINDOW_BYTES && window.length < WINDOW_STEPS_MAX) continue
    yield window
    window = []
    bytes = 0
  }
  if (window.length > 0) yield window
}

/** While a window is consumed, the next one is planned, read and decoded. */
async function* loadAhead(
  windows: AsyncGenerator<readonly Step[], void, void>,
  loader: ChunkLoader,
  series: SeriesId,
  signal: AbortSignal,
): AsyncGenerator<LoadedStep, void, void> {
  async function loadNext(): Promise<readonly LoadedStep[] | null> {
    const next = await windows.next()
    return next.done ? null : loadWindow(next.value, loader, series, signal)
  }
  let ahead = loadNext()
  try {
    for (;;) {
      const window = await ahead
      if (!window) return
      ahead = loadNext()
      // It is awaited in the next round; until then a failure must not count as unhandled.
      ahead.catch(() => {})
      yield* window
    }
  } finally {
    await Promise.allSettled([ahead])
  }
}

async function loadWindow(
  window: readonly Step[],
  loader: ChunkLoader,
  series: SeriesId,
  signal: AbortSignal,
): Promise<readonly LoadedStep[]> {
  const wanted = window.flatMap((step) => ('chunk' in step ? [step.chunk] : []))
  const loaded = (await loader.loadData(series, wanted, signal)).values()
  const steps: LoadedStep[] = []
  for (const step of window) {
    if ('entry' in step) {
      steps.push(step)
      continue
    }
    const { value: bytes } = loaded.next()
    invariant(bytes, 'every chunk that was asked for was loaded')
    const joined = joinedWith(steps.at(-1), bytes)
    if (joined) steps.splice(-1, 1, { bytes: joined })
    else steps.push({ bytes })
  }
  return steps
}

/** Chunks that lie together in memory become one block: fewer, larger writes for the consumer. */
function joinedWith(last: LoadedStep | undefined, bytes: Uint8Array): Uint8Array | null {
  if (!last || !('bytes' in last) || last.bytes.buffer !== bytes.buffer) return null
  const { byteOffset, length } = last.bytes
  if (byteOffset + length !== bytes.byteOffset) return null
  return new Uint8Array(bytes.buffer, byteOffset, length + bytes.length)
}

function restoredFile(
  { path, mode, lengthBytes }: ListedFile,
  steps: AsyncGenerator<LoadedStep, void, void>,
): RestoredFile {
  async function* content(): AsyncIterable<Uint8Array> {
    let left = lengthBytes
    while (left > 0) {
      const next = await steps.next()
      invariant(!next.done && 'bytes' in next.value, `the content of ${path} is read once`)
      left -= next.value.bytes.length
      yield next.value.bytes
    }
  }
  return { kind: 'file', path, mode, lengthBytes, content: content() }
}
