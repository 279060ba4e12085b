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
