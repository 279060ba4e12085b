import { Fault, invariant } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import type { Ledger, PackLocation } from '../repository/repository.ts'
import { manifestObjectName, packObjectName } from '../series/object-names.ts'
import type { NewSet, PackNumber, SealedSet } from '../series/series.ts'

/** The catalogue's part of the repository's work, for one test. */
export interface MemoryLedger extends Ledger {
  /** Every object's name that was announced and not disowned, in order. */
  readonly announced: readonly string[]
  /** Makes the set's packs known to readers, as the transaction that records a set does. */
  record(sealed: SealedSet): void
  /** Where readers find the pack from now on; null forgets it. */
  move(series: SeriesId, pack: PackNumber, to: PackLocation | null): void
}

export function createMemoryLedger(): MemoryLedger {
  const announced: string[] = []
  const places = new Map<string, PackLocation>()
  const nextPacks = new Map<SeriesId, number>()

  function announce(name: string): void {
    if (announced.includes(name)) throw new Fault('exists', `${name} was announced before`)
    announced.push(name)
  }

  return {
    announced,
    async announcePacks(set: NewSet, count: number, signal: AbortSignal) {
      signal.throwIfAborted()
      const first = (nextPacks.get(set.series) ?? 1) as PackNumber
      nextPacks.set(set.series, first + count)
      for (let pack = first; pack < first + count; pack = (pack + 1) as PackNumber) {
        announce(packObjectName(set.series, set.number, pack, 0))
      }
      return first
    },
    async announce(set, name, signal) {
      signal.throwIfAborted()
      invariant(name === manifestObjectName(set.series, set.number), 'only manifests have names')
      announce(name)
    },
    async disown(set, name, signal) {
      signal.throwIfAborted()
      const at = announced.indexOf(name)
      invariant(at >= 0, `only what was announced is disowned, set ${set.number}`)
      announced.splice(at, 1)
    },
    async locate(series, pack, signal) {
      signal.throwIfAborted()
      return places.get(`${series}/${pack}`) ?? null
    },
    record({ stored, packs }) {
      for (const { pack, object, objectBytes } of packs) {
        const place = { object, born: stored.number, generation: 0, objectBytes }
        places.set(`${stored.series}/${pack}`, place)
      }
    },
    move(series, pack, to) {
      if (to) places.set(`${series}/${pack}`, to)
      else places.delete(`${series}/${pack}`)
    },
  }
}
