import { type Clock, pause, SECOND_MS } from '../base/clock.ts'
import { describeError, Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import {
  createMeters,
  type Labels,
  type Meters,
  type Samples,
  type Tally,
} from '../base/metrics.ts'
import type { Catalogue } from '../catalogue/database.ts'
import {
  type Figures,
  type InstanceFigures,
  type LastBackup,
  limitReading,
  type ProbeFigures,
  readFigures,
} from '../catalogue/metrics.ts'
import type { JobState } from '../domain/job.ts'
import { type Space, spaceOf, type WatchedFolders } from './free-space.ts'
import { STANDBY_FAILURES_TO_LOSE } from './watch-standbys.ts'

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

/** What one scrape found; null where it could not be found out. */
interface Found {
  readonly figures: Figures | null
  readonly spaces: readonly Space[]
}

interface Gauged {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  readonly type?: 'counter'
  readonly read: (found: Found, clock: Clock) => Samples
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

async function find({ catalogue, folders, log }: Needs): Promise<Found> {
  const [figures, spaces] = await Promise.all([
    within(catalogue.transaction(readLimited)).catch((error: unknown) => {
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

async function readLimited(tx: Parameters<typeof readFigures>[0]): Promise<Figures> {
  await limitReading(tx, READING_MS)
  return readFigures(tx)
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

/** One sample for each instance; null leaves it out. */
function perInstance(read: (instance: InstanceFigures) => number | null): Gauged['read'] {
  return ({ figures }) =>
    (figures?.instances ?? []).flatMap((instance) => {
      const value = read(instance)
      return value === null ? [] : [sample({ instance: instance.instanceId }, value)]
    })
}

function ofLast(read: (last: LastBackup) => number): Gauged['read'] {
  return perInstance(({ last }) => last && read(last))
}

function ofProbe(read: (probe: ProbeFigures) => number): Gauged['read'] {
  return perInstance(({ probe }) => probe && read(probe))
}

function ofStore(read: (store: Figures['store']) => number): Gauged['read'] {
  return ({ figures }) => (figures === null ? [] : [sample({}, read(figures.store))])
}

function sample(labels: Labels, value: number): readonly [Labels, number] {
  return [labels, value]
}

const INSTANCE = ['instance']
const JOB = ['kind', 'state']
const JOB_STATES: readonly JobState[] = ['queued', 'running', 'finished', 'failed', 'cancelled']

const BACKUPS: readonly Gauged[] = [
  {
    name: 'holdfast_last_success_timestamp_seconds',
    help: 'Service time at which the newest backup set was made; absent before the first.',
    labels: INSTANCE,
    read: ofLast(({ finishedAt }) => finishedAt / SECOND_MS),
  },
  {
    name: 'holdfast_last_backup_duration_seconds',
    help: 'How long the newest backup set took to make.',
    labels: INSTANCE,
    read: ofLast(({ startedAt, finishedAt }) => (finishedAt - startedAt) / SECOND_MS),
  },
  {
    name: 'holdfast_last_backup_read_bytes',
    help: 'Length of all files of the newest backup set, as read from the server.',
    labels: INSTANCE,
    read: ofLast(({ contentBytes }) => contentBytes),
  },
  {
    name: 'holdfast_last_backup_new_bytes',
    help: 'Compressed chunks that no earlier set had, written for the newest backup set.',
    labels: INSTANCE,
    read: ofLast(({ newBytes }) => newBytes),
  },
  {
    name: 'holdfast_last_backup_stored_bytes',
    help: 'What the objects written for the newest backup set take in the storage now.',
    labels: INSTANCE,
    read: ofLast(({ storedBytes }) => storedBytes),
  },
  {
    name: 'holdfast_backup_overdue',
    help: '1 when the newest set is older than the policy explains, which was told as an event.',
    labels: INSTANCE,
    read: perInstance(({ overdue }) => Number(overdue)),
  },
  {
    name: 'holdfast_sets',
    help: 'Backup sets, by state: writing, kept, deleted (not purged yet), failed.',
    labels: ['instance', 'state'],
    read: ({ figures }) =>
      (figures?.instances ?? []).flatMap((instance) =>
        (['writing', 'kept', 'deleted', 'failed'] as const).map((state) =>
          sample({ instance: instance.instanceId, state }, instance[state]),
        ),
      ),
  },
  {
    name: 'holdfast_sets_content_bytes',
    help: 'Length of all files of all kept sets: what they would take without sharing.',
    labels: INSTANCE,
    read: perInstance(({ contentBytes }) => contentBytes),
  },
]

const BYTES: readonly Gauged[] = [
  {
    name: 'holdfast_instance_stored_bytes',
    help: 'What the objects of an instance take in the storage.',
    labels: INSTANCE,
    read: perInstance(({ storedBytes }) => storedBytes),
  },
  {
    name: 'holdfast_instance_released_bytes_total',
    help: 'Bytes of an instance that purges have made garbage.',
    labels: INSTANCE,
    type: 'counter',
    read: perInstance(({ releasedBytes }) => releasedBytes),
  },
  {
    name: 'holdfast_instance_freed_bytes_total',
    help: 'Bytes of an instance that finished purges have given back to the disk.',
    labels: INSTANCE,
    type: 'counter',
    read: perInstance(({ freedBytes }) => freedBytes),
  },
  {
    name: 'holdfast_store_bytes',
    help: 'What all objects take in the storage.',
    read: ofStore(({ storedBytes }) => storedBytes),
  },
  {
    name: 'holdfast_released_bytes_total',
    help: 'Bytes that purges have made garbage.',
    type: 'counter',
    read: ofStore(({ releasedBytes }) => releasedBytes),
  },
  {
    name: 'holdfast_freed_bytes_total',
    help: 'Bytes that finished purges have given back to the disk.',
    type: 'counter',
    read: ofStore(({ freedBytes }) => freedBytes),
  },
  {
    name: 'holdfast_filesystem_free_bytes',
    help: 'Free space of the file system of a folder (data, storage), for who is not root.',
    labels: ['folder'],
    read: ({ spaces }) => spaces.map(({ folder, freeBytes }) => sample({ folder }, freeBytes)),
  },
  {
    name: 'holdfast_filesystem_size_bytes',
    help: 'Size of the file system of a folder (data, storage).',
    labels: ['folder'],
    read: ({ spaces }) => spaces.map(({ folder, sizeBytes }) => sample({ folder }, sizeBytes)),
  },
]

const WORK: readonly Gauged[] = [
  {
    name: 'holdfast_jobs',
    help: 'Jobs by kind and state; those that have ended are counted for good.',
    labels: JOB,
    read: ({ figures }) =>
      // A state that no job of the kind is in counts 0, so that the first failure is an increase.
      [...Map.groupBy(figures?.jobs ?? [], ({ kind }) => kind)].flatMap(([kind, jobs]) =>
        JOB_STATES.map((state) =>
          sample({ kind, state }, jobs.find((job) => job.state === state)?.count ?? 0),
        ),
      ),
  },
  {
    name: 'holdfast_oldest_job_age_seconds',
    help: 'Service time since the oldest job that has not ended was asked for.',
    labels: JOB,
    read: ({ figures }, clock) =>
      (figures?.jobs ?? [])
        .filter(({ state }) => state === 'queued' || state === 'running')
        .map(({ kind, state, oldestAt }) =>
          sample({ kind, state }, Math.max(0, clock.now() - oldestAt) / SECOND_MS),
        ),
  },
]

const RECEIPTS: readonly Gauged[] = [
  {
    name: 'holdfast_receipts_broken',
    help: 'Chains of receipts that the service found changed, and a file of heads; 0 when all is well.',
    read: ofStore(({ receiptsBroken }) => receiptsBroken),
  },
]

/** Without a receiver everything would wait, and for nothing. */
const WAITING: readonly Gauged[] = [
  {
    name: 'holdfast_events_waiting',
    help: 'Events that the receiver has not taken yet; only with HOLDFAST_NOTIFY_URL.',
    read: ofStore(({ eventsWaiting }) => eventsWaiting),
  },
  {
    name: 'holdfast_oldest_event_waiting_seconds',
    help: 'How long the oldest of them waits; 0 without one.',
    read: ofStore(({ oldestWaitingSeconds }) => Math.max(0, oldestWaitingSeconds)),
  },
]

const SERVERS: readonly Gauged[] = [
  {
    name: 'holdfast_instance_up',
    help: '1 while the instance is Running: its primary answers SQL and is not in recovery.',
    labels: INSTANCE,
    read: perInstance(({ status }) => (status === 'Running' ? 1 : status === 'Stopped' ? 0 : null)),
  },
  {
    name: 'holdfast_probe_failures',
    help: 'Probes in a row that found no running primary; three make the instance not up.',
    labels: INSTANCE,
    read: ofProbe(({ failures }) => failures),
  },
  {
    name: 'holdfast_probe_findings',
    help: 'What the last probe found amiss; the log has the words.',
    labels: INSTANCE,
    read: ofProbe(({ findings }) => findings),
  },
  {
    name: 'holdfast_probe_timestamp_seconds',
    help: 'Real time of the last probe.',
    labels: INSTANCE,
    read: ofProbe(({ probedAtSeconds }) => probedAtSeconds),
  },
  {
    name: 'holdfast_standby_lost',
    help: '1 when three probes in a row found a standby that does not follow its primary.',
    labels: INSTANCE,
    read: ofProbe(({ standbyFailures }) => Number(standbyFailures >= STANDBY_FAILURES_TO_LOSE)),
  },
]

const GAUGED: readonly Gauged[] = [
  {
    name: 'holdfast_catalogue_up',
    help: '1 when the catalogue answered this scrape in time; without it most metrics are absent.',
    read: ({ figures }) => [sample({}, figures === null ? 0 : 1)],
  },
  ...BACKUPS,
  ...BYTES,
  ...WORK,
  ...RECEIPTS,
  ...SERVERS,
]
