import { type Clock, SECOND_MS } from '../base/clock.ts'
import type { Labels, Samples } from '../base/metrics.ts'
import type { Figures, LastBackup, ProbeFigures } from '../catalogue/metrics.ts'
import type { Usage } from '../catalogue/usage.ts'
import type { JobState } from '../domain/job.ts'
import type { Space } from './free-space.ts'
import { STANDBY_FAILURES_TO_LOSE } from './watch-standbys.ts'

/** What one scrape found; null where it could not be found out. */
export interface Found {
  readonly figures: Figures | null
  readonly spaces: readonly Space[]
}

/** A metric whose value is read for each scrape. */
export interface Gauged {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  readonly type?: 'counter'
  readonly read: (found: Found, clock: Clock) => Samples
}

type Instance = Figures['instances'][number]

/** One sample for each instance; null leaves it out. */
function perInstance(read: (instance: Instance) => number | null): Gauged['read'] {
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

/** Where the stored bytes are; they add up to what is stored. */
function partsOf(usage: Usage, labels: Labels): Samples {
  return [
    sample({ ...labels, part: 'kept' }, usage.keptBytes),
    sample({ ...labels, part: 'undelete' }, usage.undeleteBytes),
    sample({ ...labels, part: 'dead' }, usage.deadBytes),
    sample({ ...labels, part: 'fixed' }, usage.fixedBytes),
    sample({ ...labels, part: 'pending' }, usage.pendingFreedBytes),
  ]
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
    name: 'holdfast_expiry_stopped',
    help: '1 when nothing expires because backups stopped succeeding, which was told as an event.',
    labels: INSTANCE,
    read: perInstance(({ expiryStopped }) => Number(expiryStopped)),
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
    name: 'holdfast_sets_in_undelete_window',
    help: 'Deleted backup sets that can still be brought back.',
    labels: INSTANCE,
    read: perInstance(({ undeletable }) => undeletable),
  },
  {
    name: 'holdfast_holds',
    help: 'Holds in force; several of one set count each.',
    labels: INSTANCE,
    read: perInstance(({ holds }) => holds),
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
    read: perInstance(({ usage }) => usage.storedBytes),
  },
  {
    name: 'holdfast_instance_part_bytes',
    help: 'The same in parts, which add up: kept, undelete, dead, fixed, pending.',
    labels: ['instance', 'part'],
    read: ({ figures }) =>
      (figures?.instances ?? []).flatMap(({ instanceId, usage }) =>
        partsOf(usage, { instance: instanceId }),
      ),
  },
  {
    name: 'holdfast_instance_undelete_freed_bytes',
    help: 'What the disk would get back if all deleted sets of an instance were purged now.',
    labels: INSTANCE,
    read: perInstance(({ usage }) => usage.undeleteFreedBytes),
  },
  {
    name: 'holdfast_instance_released_bytes_total',
    help: 'Bytes of an instance that purges have made garbage.',
    labels: INSTANCE,
    type: 'counter',
    read: perInstance(({ usage }) => usage.releasedBytes),
  },
  {
    name: 'holdfast_instance_freed_bytes_total',
    help: 'Bytes of an instance that purges have really given back to the disk.',
    labels: INSTANCE,
    type: 'counter',
    read: perInstance(({ usage }) => usage.freedBytes),
  },
  {
    name: 'holdfast_store_bytes',
    help: 'What all objects take in the storage.',
    read: ofStore(({ usage }) => usage.storedBytes),
  },
  {
    name: 'holdfast_store_part_bytes',
    help: 'The same in parts, which add up: kept, undelete, dead, fixed, pending.',
    labels: ['part'],
    read: ({ figures }) => (figures === null ? [] : partsOf(figures.store.usage, {})),
  },
  {
    name: 'holdfast_store_undelete_freed_bytes',
    help: 'What the disk would get back if all deleted sets were purged now.',
    read: ofStore(({ usage }) => usage.undeleteFreedBytes),
  },
  {
    name: 'holdfast_released_bytes_total',
    help: 'Bytes that purges have made garbage.',
    type: 'counter',
    read: ofStore(({ usage }) => usage.releasedBytes),
  },
  {
    name: 'holdfast_freed_bytes_total',
    help: 'Bytes that purges have really given back to the disk.',
    type: 'counter',
    read: ofStore(({ usage }) => usage.freedBytes),
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
    help: 'Chains of receipts and files of heads that data folders found changed; 0 when all is well.',
    read: ofStore(({ receiptsBroken }) => receiptsBroken),
  },
]

/** Without a receiver everything would wait, and for nothing. */
export const WAITING: readonly Gauged[] = [
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

/** All that is read from the catalogue and the file systems. */
export const GAUGED: readonly Gauged[] = [
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
