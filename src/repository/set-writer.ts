import { hash } from 'node:crypto'
import { Fault, invariant } from '../base/fault.ts'
import type { TreeEntry } from '../base/file-tree.ts'
import { manifestObjectName } from '../series/object-names.ts'
import type { NewSet, SealedSet } from '../series/series.ts'
import type { ChunkSink } from './chunk-sink.ts'
import { createChunkSink } from './chunk-sink.ts'
import type { EntrySorter } from './entry-sorter.ts'
import { createEntrySorter } from './entry-sorter.ts'
import type { FileWriter } from './file-writer.ts'
import { createFileWriter } from './file-writer.ts'
import { PATH_BYTES_MAX } from './list-entry.ts'
import type { WrittenList } from './list-writer.ts'
import { writeList } from './list-writer.ts'
import { encodeManifest } from './manifest.ts'
import type { FinishedPack } from './open-packs.ts'
import { OpenPacks } from './open-packs.ts'
import type { SetWriter } from './repository.ts'
import type { Retirements } from './retirements.ts'
import { createRetirements } from './retirements.ts'
import type { StoredFile } from './stored-file.ts'
import type { StoredTree } from './stored-tree.ts'
import { openStoredTree } from './stored-tree.ts'
import type { Stores } from './stores.ts'
import { writeAnnounced } from './write-announced.ts'

/** Opens a writer for `set`; `signal` holds for the writer's whole life. */
export async function openSetWriter(
  stores: Stores,
  set: NewSet,
  signal: AbortSignal,
): Promise<SetWriter> {
  const { base } = set
  const tree = base ? await openStoredTree(stores, base, signal) : null
  return new TreeWriter(stores, set, tree, signal)
}

class TreeWriter implements SetWriter {
  readonly #stores: Stores
  readonly #set: NewSet
  readonly #base: StoredTree | null
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #packs: OpenPacks
  readonly #retirements: Retirements
  readonly #sink: ChunkSink
  readonly #files: FileWriter
  readonly #entries: EntrySorter
  #state: 'open' | 'busy' | 'done' = 'open'

  constructor(stores: Stores, set: NewSet, base: StoredTree | null, signal: AbortSignal) {
    this.#stores = stores
    this.#set = set
    this.#base = base
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#packs = new OpenPacks(stores, set, this.#signal)
    this.#retirements = createRetirements()
    this.#sink = createChunkSink(stores, this.#packs, this.#retirements, this.#signal)
    this.#files = createFileWriter(this.#sink, this.#retirements)
    this.#entries = createEntrySorter(stores.scratchDirectory, stores.chunkBytes)
  }

  get progress(): { readonly contentBytes: number; readonly newBytes: number } {
    return { contentBytes: this.#files.contentBytes, newBytes: this.#sink.newBytes }
  }

  async add(entry: TreeEntry, signal: AbortSignal): Promise<void> {
    await this.#exclusively('open', signal, () => this.#add(entry))
  }

  async seal(description: Uint8Array, signal: AbortSignal): Promise<SealedSet> {
    return this.#exclusively('done', signal, () => this.#seal(description))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = 'done'
    this.#stop.abort(new Fault('cancelled', 'the set was not sealed'))
    await this.#packs[Symbol.asyncDispose]()
    await this.#sink.idle()
    await this.#entries[Symbol.asyncDispose]()
  }

  /** One call at a time; a call that fails or is aborted leaves nothing that could go on. */
  async #exclusively<Result>(
    next: 'open' | 'done',
    signal: AbortSignal,
    work: () => Promise<Result>,
  ): Promise<Result> {
    invariant(this.#state === 'open', 'a set is written by one call at a time, until it is sealed')
    this.#state = 'busy'
    const stop = (): void => this.#stop.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    try {
      signal.throwIfAborted()
      this.#signal.throwIfAborted()
      const result = await work()
      this.#state = next
      return result
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  async #add(entry: TreeEntry): Promise<void> {
    checkPath(entry.path)
    if (entry.kind === 'file') {
      const before = await this.#fileBefore(entry.path)
      await this.#files.write(entry, before, (listed) => this.#entries.add(listed), this.#signal)
    } else if (entry.kind === 'link') {
      checkText(entry.target)
      const { kind, path, mode, target } = entry
      this.#entries.add({ kind, path, mode, target })
    } else {
      const { kind, path, mode } = entry
      this.#entries.add({ kind, path, mode })
    }
    await this.#entries.spill()
  }

  async #fileBefore(path: string): Promise<StoredFile | null> {
    const found = await this.#base?.find(path, this.#signal)
    return this.#base && found?.kind === 'file' ? this.#base.file(found) : null
  }

  async #seal(description: Uint8Array): Promise<SealedSet> {
    await this.#files.finish(this.#signal)
    const sorted = this.#entries.sorted()
    const list = await writeList(sorted, this.#base, this.#sink, this.#retirements, this.#signal)
    const packs = await this.#packs.finish()
    const manifest = await this.#encodeManifest(description, list, packs)
    const name = manifestObjectName(this.#set.series, this.#set.number)
    await this.#stores.ledger.announce(this.#set, name, this.#signal)
    await writeAnnounced(this.#stores, this.#set, name, [manifest], this.#signal)
    const { series, number, setId } = this.#set
    return {
      stored: { series, number, setId, manifest: name },
      packs: packs.map(({ kind: _, ...facts }) => facts),
      retirements: this.#retirements.rows(),
      contentBytes: this.#files.contentBytes,
      newBytes: this.#sink.newBytes,
      manifestBytes: manifest.length,
      manifestHash: hash('sha256', manifest),
    }
  }

  #encodeManifest(
    description: Uint8Array,
    list: WrittenList,
    packs: readonly FinishedPack[],
  ): Promise<Buffer> {
    const { series, number, setId, base } = this.#set
    return encodeManifest({
      repositoryId: this.#stores.repositoryId,
      series,
      number,
      setId,
      baseNumber: base?.number ?? 0,
      contentBytes: this.#files.contentBytes,
      entryCount: list.entryCount,
      description,
      packs,
      list: list.pieces,
    })
  }
}

/** Relative, without empty, `.` or `..` parts: a restore joins it to a directory. */
function checkPath(path: string): void {
  checkText(path)
  const parts = path.split('/')
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new Fault('unfit', `"${path}" is not a path below the data directory`)
  }
}

function checkText(text: string): void {
  const fits = text !== '' && Buffer.byteLength(text, 'utf8') <= PATH_BYTES_MAX
  if (!fits || !text.isWellFormed() || text.includes('\0')) {
    throw new Fault('unfit', `a path or link of ${text.length} characters cannot be stored`)
  }
}
