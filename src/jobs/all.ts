import type { JobKind } from '../domain/job.ts'
import { attachInstance } from './attach-instance.ts'
import { createLocalInstance } from './create-local-instance.ts'
import type { Jobs } from './job.ts'
import { purgeSets } from './purge-sets.ts'
import { removeInstanceJob } from './remove-instance.ts'
import { takeBackup } from './take-backup.ts'

export const JOBS: Jobs = {
  'create-local-instance': createLocalInstance,
  'attach-instance': attachInstance,
  'remove-instance': removeInstanceJob,
  'take-backup': takeBackup,
  'purge-sets': purgeSets,
}

/** Jobs that start, stop or remove servers of this host; only one process does them at a time. */
export const LOCAL_JOBS: readonly JobKind[] = ['create-local-instance', 'remove-instance']

/** Jobs that any worker can do. */
export const COMMON_JOBS = (Object.keys(JOBS) as JobKind[]).filter(
  (kind) => !LOCAL_JOBS.includes(kind),
)
