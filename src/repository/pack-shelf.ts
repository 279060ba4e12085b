import { Fault, isFault } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { PackNumber } from '../series/series.ts'
import type { Storage } from '../storage/storage.ts'
import type { PackOwner } from './header.ts'
import type { PackIndex } from './pack-index.ts'
import { readPackIndex } from './pack-index.ts'
import type { Ledger } from './repository.ts'
import { weightedCache } from './weighted-cache.ts'

export interface OpenPack {
  readonly object: string
  readonly index: PackIndex
}

/** The packs in use, with their indexes kept up to a bound. */
export interface PackShelf {
  /**
   * Does `work` with the pack where it is now. When its object is gone, a rewrite has moved it: it
   * is looked up again and `work` done anew, once. Faults: 'not-found' when it is nowhere.
   */
  withPack<Result>(
    series: SeriesId,
    pack: PackNumber,
    signal: AbortSignal,
    work: (pack: OpenPack) => Promise<Result>,
  ): Promise<Result>
}

const INDEXES_BYTES_MAX = 32 * 1024 * 1024

export function createPackShelf(
  storage: Storage,
  ledger: Ledger,
  owner: PackOwner,
  log: Logger,
): PackShelf {
  const shelf = weightedCache<string, OpenPack>(INDEXES_BYTES_MAX)

  async function open(series: SeriesId, pack: PackNumber, signal: AbortSignal): Promise<OpenPack> {
    const key = `${series}/${pack}`
    const known = shelf.get(key)
    if (known) return known
    const location = await ledger.locate(series, pack, signal)
    if (!location) throw new Fault('not-found', `pack ${pack} of series ${series} is gone`)
    const place = { owner, series, pack, location }
    const index = await readPackIndex(storage, place, signal)
    const opened = { object: location.object, index }
    shelf.set(key, opened, index.weightBytes)
    return opened
  }

  return {
    async withPack(series, pack, signal, work) {
      try {
        return await work(await open(series, pack, signal))
      } catch (error) {
        if (!isFault(error, 'not-found')) throw error
        log.info('pack looked up again', { series, pack, reason: error.message })
        shelf.delete(`${series}/${pack}`)
        return work(await open(series, pack, signal))
      }
    },
  }
}
