import type { RestoredEntry, TreeEntry } from '../base/file-tree.ts'
import type { SeriesId } from '../base/ids.ts'
import type { NewSet, PackNumber, SealedSet, SetNumber, StoredSet } from '../series/series.ts'

/** All the repository needs to be told, or to tell, while it works. The catalogue implements it. */
export interface Ledger {
  /**
   * Hands out `count` consecutive pack numbers and records the objects of this attempt as
   * `intended` before any of them is written. Returns the first number.
   */
  announcePacks(set: NewSet, count: number, signal: AbortSignal): Promise<PackNumber>
  /** Records an object's name as `intended` before it is written. */
  announce(set: NewSet, name: string, signal: AbortSignal): Promise<void>
  /**
   * The announced name is taken by bytes that are not this attempt's: another catalogue's, or those
   * of a time that this catalogue has forgotten. Its record goes; the object must not be removed.
   */
  disown(set: NewSet, name: string, signal: AbortSignal): Promise<void>
  /** Where a pack is now; null when it is gone. */
  locate(series: SeriesId, pack: PackNumber, signal: AbortSignal): Promise<PackLocation | null>
}

export interface PackLocation {
  readonly object: string
  readonly born: SetNumber
  readonly generation: number
  readonly objectBytes: number
}

/** Written once, in this order: `add` each entry, then `seal`. Disposing before `seal` stops it. */
export interface SetWriter extends AsyncDisposable {
  /** Consumes the entry's content to its end, with back-pressure. A path given twice is a Fault. */
  add(entry: TreeEntry, signal: AbortSignal): Promise<void>
  /** Packs, then manifest, durable; the set does not exist for anyone else until it is recorded. */
  seal(description: Uint8Array, signal: AbortSignal): Promise<SealedSet>
  /** Bytes of content taken so far and bytes stored so far, for progress. */
  readonly progress: { readonly contentBytes: number; readonly newBytes: number }
}

export interface SetReader {
  /** What the writer's `seal` was given. */
  readonly description: Uint8Array
  readonly contentBytes: number
  readonly entryCount: number
  /** Sorted by path, directories before what is in them; every chunk is checked by its hash. */
  entries(signal: AbortSignal): AsyncIterable<RestoredEntry>
}

/** The pack to be rewritten keeps exactly the chunks of `keep`; its size is known beforehand. */
export interface RewriteStep {
  readonly series: SeriesId
  readonly pack: PackNumber
  readonly from: PackLocation
  readonly to: PackLocation
  /** Bit i = chunk i stays. */
  readonly keep: Uint8Array
}

export interface Repository extends AsyncDisposable {
  readonly id: string
  /** What it was made with: files are cut at multiples of this. */
  readonly chunkBytes: number
  /**
   * `add` and `seal` fail with Fault 'exists' where a name is taken by other bytes; that object is
   * disowned by then. Fault 'not-found' or 'unfit' when the storage does not hold this repository.
   */
  writeSet(set: NewSet, signal: AbortSignal): Promise<SetWriter>
  /** Fault 'not-found' or 'corrupt' names the object that is hurt. */
  readSet(set: StoredSet, signal: AbortSignal): Promise<SetReader>
  /**
   * Writes the new generation, byte for byte the kept chunks after checking them; repeatable. After
   * Fault 'exists' the object of that name is not the caller's and must not be removed.
   */
  rewritePack(step: RewriteStep, signal: AbortSignal): Promise<void>
  /**
   * Deletes objects, durably; those that are gone already are no error. Fault 'not-found' or 'unfit'
   * when the storage does not hold this repository: an unmounted one has lost nothing.
   */
  removeObjects(names: readonly string[], signal: AbortSignal): Promise<void>
  /**
   * Reads a pack's whole object. Fault 'corrupt' names the object and what is wrong: its header, its
   * index, its length or a chunk; 'not-found' when it is not there.
   */
  checkPack(
    series: SeriesId,
    pack: PackNumber,
    location: PackLocation,
    signal: AbortSignal,
  ): Promise<void>
  /**
   * The auditor: every chunk a set uses (data, maps, lists), with its stored bytes
   * (+ CHUNK_INDEX_BYTES), each once. It reads and checks the manifest, the list and the maps, but
   * no contents. For tests and `verify`; it never decides anything.
   */
  audit(
    set: StoredSet,
    signal: AbortSignal,
  ): AsyncIterable<{
    readonly pack: PackNumber
    readonly chunk: number
    readonly bytes: number
  }>
}
