import { type Clock, pause, SECOND_MS } from '../base/clock.ts'
import { describeError, Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { createMeters, type Meters, type Tally } from '../base/metrics.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { type Figures, limitReading, readFigures } from '../catalogue/metrics.ts'
import { spaceOf, type WatchedFolders } from './free-space.ts'
import { type Found, GAUGED, WAITING } from './gauges.ts'

/** A scrape asks the catalogue for at most so long, and then does without. */
const READING_MS = 3 * SECOND_MS

interface Needs {
  readonly catalogue: Catalogue
  readonly clock: Clock
  readonly folders: WatchedFolders
  readonly version: string
  /** Whether somebody is told of events. */
  readonly notifying: boolean
  readonly log: Logger
}

/** What the service is measured by: rendered for scrapers, and counted where things happen. */
export interface Measurements {
  readonly contentType: string
  render(): Promise<string>
  /** By `result`. */
  readonly notifications: Tally
  /** By `result`. */
  readonly pings: Tally
  /** By `action` and `code`. */
  readonly requests: Tally
}

/**
 * Every value of `holdfast_…` is read when it is asked for: by a few statements from the catalogue,
 * and from the file systems. What cannot be read is absent, and `holdfast_catalogue_up` is 0.
 */
export function createMeasurements(needs: Needs): Measurements {
  const meters = createMeters()
  const gauged = needs.notifying ? [...GAUGED, ...WAITING] : GAUGED
  const setters = gauged.map(({ name, help, labels = [], type, read }) => {
    const metric = meters.define({ name, help, labels, type: type ?? 'gauge' })
    return (found: Found) => metric.set(read(found, needs.clock))
  })
  meters
    .define({
      name: 'holdfast_build_info',
      help: 'Always 1; the version of Holdfast and of Node.js.',
      type: 'gauge',
      labels: ['version', 'node'],
    })
    .set([[{ version: needs.version, node: process.versions.node }, 1]])
  return {
    contentType: meters.contentType,
    render: async () => {
      const found = await find(needs)
      for (const set of setters) set(found)
      return meters.render()
    },
    ...tallies(meters),
  }
}

const RESULTS = ['sent', 'failed', 'given_up'].map((result) => ({ result }))

function tallies(meters: Meters): Pick<Measurements, 'notifications' | 'pings' | 'requests'> {
  return {
    notifications: meters.tally(
      {
        name: 'holdfast_notifications_total',
        help: 'Tries to send events since the start, by result: sent, failed, given_up.',
        labels: ['result'],
      },
      RESULTS,
    ),
    pings: meters.tally(
      {
        name: 'holdfast_dead_man_pings_total',
        help: 'Tries to ask the dead-man URL since the start, by result: sent, failed, given_up.',
        labels: ['result'],
      },
      RESULTS,
    ),
    requests: meters.tally({
      name: 'holdfast_requests_total',
      help: 'Calls answered since the start, by action and error code (OK without one).',
      labels: ['action', 'code'],
    }),
  }
}

async function find({ catalogue, clock, folders, log }: Needs): Promise<Found> {
  const [figures, spaces] = await Promise.all([
    within(catalogue.snapshot((tx) => readLimited(tx, clock))).catch((error: unknown) => {
      log.warn('catalogue not measured', { error: describeError(error) })
      return null
    }),
    within(spaceOf(folders)).catch((error: unknown) => {
      log.warn('free space not known', { error: describeError(error) })
      return []
    }),
  ])
  return { figures, spaces }
}

async function readLimited(tx: Transaction, clock: Clock): Promise<Figures> {
  await limitReading(tx, READING_MS)
  return readFigures(tx, clock.now())
}

/** A scraper must not wait for a catalogue or a file system that hangs. */
async function within<T>(work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = pause(READING_MS, done.signal).then(() => {
    throw new Fault('transient', `no answer within ${READING_MS} ms`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    done.abort()
    late.catch(() => {
      // Ended with the work, or told by the race already.
    })
  }
}
