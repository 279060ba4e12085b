import { createLocalInstance } from './create-local-instance.ts'
import type { Jobs } from './job.ts'
import { purgeSets } from './purge-sets.ts'
import { takeBackup } from './take-backup.ts'

export const JOBS: Jobs = {
  'create-local-instance': createLocalInstance,
  'take-backup': takeBackup,
  'purge-sets': purgeSets,
}
