import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { RestoredEntry, TreeEntry } from '../base/file-tree.ts'
import type { SeriesId } from '../base/ids.ts'
import { SILENT } from '../base/logger.ts'
import { openCodecPool } from '../repository/codec-pool.ts'
import { initialiseRepository } from '../repository/header.ts'
import { openRepository } from '../repository/open-repository.ts'
import type { Repository } from '../repository/repository.ts'
import type { NewSet, SealedSet, SetNumber, StoredSet } from '../series/series.ts'
import { openFileStorage } from '../storage/file-storage.ts'
import type { Storage } from '../storage/storage.ts'
import type { MemoryLedger } from './memory-ledger.ts'
import { createMemoryLedger } from './memory-ledger.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** A repository in a temporary directory, with a ledger in memory. */
export interface TestRepository extends AsyncDisposable {
  readonly directory: string
  readonly scratchDirectory: string
  readonly storage: Storage
  readonly ledger: MemoryLedger
  readonly repository: Repository
}

export const TEST_SERIES = 7 as SeriesId

export async function openTestRepository(
  options: {
    /** May put something between the repository and its storage. */
    readonly wrap?: (storage: Storage) => Storage
    /** What the repository is made with, where it is not what a new one has. */
    readonly chunkBytes?: number | undefined
  } = {},
): Promise<TestRepository> {
  await using stack = new AsyncDisposableStack()
  const { signal } = new AbortController()
  const folder = stack.use(await temporaryFolder('repository'))
  const directory = join(folder.path, 'objects')
  const scratchDirectory = join(folder.path, 'scratch')
  const storage = stack.use(await openFileStorage(directory))
  await initialiseRepository(storage, randomUUID(), signal, options.chunkBytes)
  const ledger = createMemoryLedger()
  const codec = stack.use(openCodecPool({ threads: 2, slots: 4 }))
  const wrapped = options.wrap?.(storage) ?? storage
  const opening = { scratchDirectory, log: SILENT }
  const repository = stack.use(await openRepository(wrapped, ledger, codec, opening))
  const resources = stack.move()
  return {
    directory,
    scratchDirectory,
    storage,
    ledger,
    repository,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** The set with this number, written against `base`; its ID differs from its number on purpose. */
export function newSet(number: number, base: StoredSet | null): NewSet {
  return { series: TEST_SERIES, number: number as SetNumber, setId: 1000 + number, base }
}

/** Writes and records a whole set. */
export async function writeTestSet(
  { repository, ledger }: Pick<TestRepository, 'repository' | 'ledger'>,
  set: NewSet,
  entries: Iterable<TreeEntry> | AsyncIterable<TreeEntry>,
  signal: AbortSignal,
): Promise<SealedSet> {
  await using writer = await repository.writeSet(set, signal)
  for await (const entry of entries) await writer.add(entry, signal)
  const sealed = await writer.seal(Buffer.from(`set ${set.number}`), signal)
  ledger.record(sealed)
  return sealed
}

/** Reads every entry of a set, handing each file's content over as one buffer. */
export async function* readTestSet(
  repository: Repository,
  stored: StoredSet,
  signal: AbortSignal,
): AsyncIterable<{ readonly entry: RestoredEntry; readonly content: Buffer | null }> {
  const reader = await repository.readSet(stored, signal)
  for await (const entry of reader.entries(signal)) {
    const content =
      entry.kind === 'file' ? Buffer.concat(await Array.fromAsync(entry.content)) : null
    yield { entry, content }
  }
}
