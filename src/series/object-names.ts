import type { SeriesId } from '../base/ids.ts'
import type { PackNumber, SetNumber } from './series.ts'

/** Everything that the attempt with this set number writes, and nothing else, starts with it. */
function attemptPrefix(series: SeriesId, number: SetNumber): string {
  return `series/${series}/${number}/`
}

export function manifestObjectName(series: SeriesId, number: SetNumber): string {
  return `${attemptPrefix(series, number)}manifest`
}

/** A rewritten pack stays under the prefix of the attempt that bore it. */
export function packObjectName(
  series: SeriesId,
  born: SetNumber,
  pack: PackNumber,
  generation: number,
): string {
  return `${attemptPrefix(series, born)}pack-${pack}.${generation}`
}
