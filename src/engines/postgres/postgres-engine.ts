import type { Engine } from '../engine.ts'
import { openPostgresBackup } from './backup-stream.ts'
import { inspectPostgres } from './inspect.ts'
import { probePostgres } from './probe.ts'
import { preparePostgres } from './restored.ts'
import { verifyPostgres } from './verify.ts'

/** PostgreSQL 15 and later, over the network; nothing is installed on the database host. */
export function createPostgresEngine(): Engine {
  return {
    openBackup: (source, options, signal) => openPostgresBackup(source, options, signal),
    prepareRestored: preparePostgres,
    verifyRestored: (directory, signal, progress, mayHold) =>
      verifyPostgres(directory, signal, progress ?? (() => undefined), mayHold ?? []),
    probe: probePostgres,
    inspect: inspectPostgres,
  }
}
