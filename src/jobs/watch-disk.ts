import type { DiskLow } from '../base/disk-low.ts'
import { describeError } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { endAlarm, raiseAlarm } from '../catalogue/events.ts'
import { distinctFolders, type Space, spaceOf, type WatchedFolders } from './free-space.ts'

/** Free space must pass the limit by this part of it before it counts as enough: no event at every write. */
const ENOUGH_PART = 1 / 10

/** What a look at one file system means; `between` leaves it as it was. */
export function judgeSpace(
  { freeBytes, sizeBytes }: Pick<Space, 'freeBytes' | 'sizeBytes'>,
  low: DiskLow,
): { readonly lowBytes: number; readonly state: 'low' | 'between' | 'enough' } {
  const lowBytes = low.kind === 'bytes' ? low.bytes : Math.floor((sizeBytes * low.percent) / 100)
  // A limit close to the size of the file system must be one that can be passed.
  const enoughBytes = Math.min(lowBytes + Math.floor(lowBytes * ENOUGH_PART), sizeBytes)
  if (freeBytes < lowBytes) return { lowBytes, state: 'low' }
  return { lowBytes, state: freeBytes >= enoughBytes ? 'enough' : 'between' }
}

/** Tells once that a file system is low, and once that it no longer is. */
export async function watchDisk(
  catalogue: Catalogue,
  folders: WatchedFolders,
  low: DiskLow,
  log: Logger,
): Promise<void> {
  let spaces: readonly Space[]
  try {
    const names = await distinctFolders(folders)
    spaces = (await spaceOf(folders)).filter(({ folder }) => names.includes(folder))
  } catch (error) {
    // A storage that is not there fails the health check and every backup, each with its own words.
    log.warn('free space not known', { error: describeError(error) })
    return
  }
  for (const { folder, freeBytes, sizeBytes } of spaces) {
    const { state, lowBytes } = judgeSpace({ freeBytes, sizeBytes }, low)
    const details = { folder, path: folders[folder] ?? '', freeBytes, sizeBytes, lowBytes }
    const event = { instanceId: null, details } as const
    const told = await catalogue.transaction(async (tx) => {
      if (state === 'low') return raiseAlarm(tx, folder, { ...event, kind: 'disk-low' })
      if (state === 'between') return false
      return endAlarm(tx, 'disk-low', folder, { ...event, kind: 'disk-low-ended' })
    })
    if (told) log.warn(state === 'low' ? 'disk low' : 'disk no longer low', details)
  }
}
