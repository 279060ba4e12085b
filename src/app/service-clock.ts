import type { Clock, Instant } from '../base/clock.ts'
import { machineNow } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { Catalogue } from '../catalogue/database.ts'
import {
  readClockOffset,
  readDevelopmentClock,
  recordDevelopmentClock,
} from '../catalogue/settings.ts'

/** Service time: the machine's plus the development clock's offset, which only grows. */
export interface ServiceClock extends Clock {
  readonly development: boolean
  readonly offsetMs: number
  /** Reads the offset anew; does nothing without a development clock. */
  refresh(): Promise<void>
}

/**
 * A data folder has a development clock for ever or never: decided at its first start. Null takes
 * the folder as it was made (operator commands).
 */
export async function openServiceClock(
  catalogue: Catalogue,
  wanted: boolean | null,
): Promise<ServiceClock> {
  const made = await catalogue.transaction(async (tx) => {
    if (wanted !== null) await recordDevelopmentClock(tx, wanted)
    return (await readDevelopmentClock(tx)) ?? false
  })
  if (wanted !== null && made !== wanted) {
    throw new Fault(
      'denied',
      made
        ? 'this data folder was made with a development clock'
        : 'this data folder was not made with a development clock',
      {
        hint: made
          ? 'start with --development-clock'
          : 'start without --development-clock, or use a new data folder',
      },
    )
  }
  let offsetMs = 0
  const refresh = async () => {
    if (made) offsetMs = Math.max(offsetMs, await catalogue.transaction(readClockOffset))
  }
  await refresh()
  return {
    development: made,
    get offsetMs() {
      return offsetMs
    },
    now: () => (machineNow() + offsetMs) as Instant,
    refresh,
  }
}
