import { Fault } from '../base/fault.ts'
import type { StoredSet } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import type { ListEntry } from './list-entry.ts'
import { decodeListEntries } from './list-entry.ts'
import type { ListPieceAtPlace, Manifest } from './manifest.ts'
import { decodeManifest } from './manifest.ts'
import { comparePaths } from './path-order.ts'
import type { StoredFile } from './stored-file.ts'
import { openStoredFile } from './stored-file.ts'
import type { Stores } from './stores.ts'
import { weightedCache } from './weighted-cache.ts'

/** The tree of a finished set, read piece by piece. */
export interface StoredTree {
  readonly manifest: Manifest
  /** The piece of the list that starts with exactly this path. */
  pieceAt(firstPath: string): ListPieceAtPlace | null
  find(path: string, signal: AbortSignal): Promise<ListEntry | null>
  /** All entries in the order of their paths. */
  entries(signal: AbortSignal): AsyncIterable<ListEntry>
  file(entry: ListEntry & { readonly kind: 'file' }): StoredFile
}

/** Raw bytes of list pieces kept for `find`: servers send their files folder by folder, unsorted. */
const PIECES_BYTES_MAX = 8 * 1024 * 1024
/** Pieces that `entries` reads together. */
const PIECES_AT_ONCE = 32

/** Faults: 'not-found', 'corrupt' or 'unfit', naming the object. */
export async function openStoredTree(
  stores: Pick<Stores, 'storage' | 'loader' | 'repositoryId' | 'chunkBytes'>,
  set: StoredSet,
  signal: AbortSignal,
): Promise<StoredTree> {
  const manifest = await readManifest(stores.storage, set.manifest, signal)
  const { series, number } = manifest
  if (
    manifest.repositoryId !== stores.repositoryId ||
    series !== set.series ||
    number !== set.number ||
    manifest.setId !== set.setId
  ) {
    throw new Fault('corrupt', `manifest ${set.manifest} is that of another set`)
  }
  return treeOf(manifest, stores, set.manifest)
}

async function readManifest(
  storage: Storage,
  object: string,
  signal: AbortSignal,
): Promise<Manifest> {
  const size = await storage.size(object, signal)
  if (size === null) throw new Fault('not-found', `manifest ${object} is gone`)
  return decodeManifest(await storage.readRange(object, 0, size, signal), object)
}

function treeOf(
  manifest: Manifest,
  stores: Pick<Stores, 'loader' | 'chunkBytes'>,
  object: string,
): StoredTree {
  const { series, list } = manifest
  const { loader, chunkBytes } = stores
  const cache = weightedCache<ListPieceAtPlace, readonly ListEntry[]>(PIECES_BYTES_MAX)

  async function load(
    pieces: readonly ListPieceAtPlace[],
    signal: AbortSignal,
  ): Promise<readonly (readonly ListEntry[])[]> {
    const loaded = await loader.loadTree(series, pieces, signal)
    return loaded.map((bytes) => decodeListEntries(bytes, chunkBytes, `the list of ${object}`))
  }

  /** The last piece whose first path is not after `path`. */
  function pieceFor(path: string): ListPieceAtPlace | null {
    let low = 0
    let high = list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const piece = list[middle]
      if (piece && comparePaths(piece.firstPath, path) <= 0) low = middle + 1
      else high = middle
    }
    return list[low - 1] ?? null
  }

  return {
    manifest,
    pieceAt(firstPath) {
      const piece = pieceFor(firstPath)
      return piece?.firstPath === firstPath ? piece : null
    },
    async find(path, signal) {
      const piece = pieceFor(path)
      if (!piece) return null
      let entries = cache.get(piece)
      if (!entries) {
        entries = (await load([piece], signal)).flat()
        cache.set(piece, entries, piece.rawBytes)
      }
      return entries.find((entry) => entry.path === path) ?? null
    },
    async *entries(signal) {
      for (let first = 0; first < list.length; first += PIECES_AT_ONCE) {
        for (const entries of await load(list.slice(first, first + PIECES_AT_ONCE), signal)) {
          yield* entries
        }
      }
    },
    file: (entry) => openStoredFile(series, entry, stores),
  }
}
