import type { Logger } from '../base/logger.ts'
import { LOCAL_JOBS } from './all.ts'
import type { WorkerParts } from './job.ts'
import { startWorker } from './worker.ts'

/**
 * The duty of the one process that runs the servers of local instances: it alone also makes and
 * removes such instances, because both start and stop those servers.
 */
export async function runLocalServers(
  parts: WorkerParts,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  await parts.localServers.take(signal)
  await using _jobs = await startWorker(parts, LOCAL_JOBS, log, signal)
  await parts.localServers.supervise(signal)
}
