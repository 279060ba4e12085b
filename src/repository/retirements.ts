import { invariant } from '../base/fault.ts'
import { hasBit, setBit } from '../series/bitmap.ts'
import type { PackNumber, Retirement } from '../series/series.ts'
import type { ChunkRef } from './chunk-ref.ts'
import { chunkCost } from './chunk-ref.ts'

/** Gathers the chunks of the base set that the new set does not use, each once. */
export interface Retirements {
  retire(ref: ChunkRef): void
  rows(): readonly Retirement[]
}

export function createRetirements(): Retirements {
  const byPack = new Map<PackNumber, { which: Uint8Array; chunkCount: number; bytes: number }>()
  return {
    retire(ref) {
      const row = byPack.get(ref.pack) ?? { which: new Uint8Array(), chunkCount: 0, bytes: 0 }
      byPack.set(ref.pack, row)
      const { pack, chunk } = ref
      invariant(!hasBit(row.which, chunk), `chunk ${chunk} of pack ${pack} has one place per set`)
      row.which = setBit(row.which, chunk)
      row.chunkCount += 1
      row.bytes += chunkCost(ref)
    },
    rows: () =>
      [...byPack].map(([pack, { which, chunkCount, bytes }]) => ({
        pack,
        which: which.slice(0, lengthInUse(which)),
        chunkCount,
        bytes,
      })),
  }
}

function lengthInUse(bits: Uint8Array): number {
  return bits.findLastIndex((byte) => byte !== 0) + 1
}
