import { purgeNext } from '../catalogue/deletions.ts'
import { lockInstance } from '../catalogue/instances.ts'
import type { DuePack } from '../catalogue/reclaim.ts'
import {
  abandonedObjects,
  abandonRewrites,
  dropPacks,
  duePacks,
  forgetObjects,
  intendRewrite,
  recordRewrite,
  settlePurges,
} from '../catalogue/reclaim.ts'
import type { Job, Run, WorkerParts } from './job.ts'

/**
 * Decides the purges that are due, one deletion at a time, and then gives the bytes back: manifests,
 * whole packs, rewrites, in that order. Every step is repeatable and is recognised when it was done
 * already, so a killed run simply runs again.
 */
export const purgeSets: Job<'purge-sets'> = async (_parameters, run, parts) => {
  while (await decideNext(run, parts)) run.signal.throwIfAborted()
  await reclaim(run, parts)
  const finished = await run.end({ state: 'finished' }, async (tx) => {
    await lockInstance(tx, run.instanceId)
    return settlePurges(tx, run.instanceId, parts.clock.now())
  })
  for (const { setIds, ...bytes } of finished) {
    run.log.info('reclaim finished', { backupIds: setIds, ...bytes })
  }
}

async function decideNext(run: Run, parts: WorkerParts): Promise<boolean> {
  const decided = await run.transaction(async (tx) => {
    await lockInstance(tx, run.instanceId)
    return purgeNext(tx, run.instanceId, parts.clock.now())
  })
  if (!decided) return false
  const { setIds, ...bytes } = decided
  run.log.info('purge decided', { backupIds: setIds, ...bytes })
  return true
}

async function reclaim(run: Run, parts: WorkerParts): Promise<void> {
  run.report('reclaiming')
  await run.transaction((tx) => abandonRewrites(tx, run.instanceId))
  for (;;) {
    run.signal.throwIfAborted()
    await removeAbandoned(run, parts)
    const due = await run.transaction((tx) => duePacks(tx, run.instanceId))
    const drops = due.filter((pack) => pack.targetBytes === 0)
    const [smallest] = due
    if (drops.length > 0) await run.transaction((tx) => dropPacks(tx, drops))
    else if (smallest) await rewrite(smallest, run, parts)
    else return
  }
}

/**
 * Removes the instance's abandoned objects, manifests first, and then their rows: the rows are how
 * garbage is found again after a crash.
 */
export async function removeAbandoned(run: Run, parts: WorkerParts): Promise<void> {
  const names = await run.transaction((tx) => abandonedObjects(tx, run.instanceId))
  const manifests = names.filter((name) => name.endsWith('/manifest'))
  const packs = names.filter((name) => !name.endsWith('/manifest'))
  for (const batch of [manifests, packs]) {
    if (batch.length === 0) continue
    await parts.repository.removeObjects(batch, run.signal)
    await run.transaction((tx) => forgetObjects(tx, batch))
  }
}

async function rewrite(pack: DuePack, run: Run, parts: WorkerParts): Promise<void> {
  const intended = await run.transaction((tx) => intendRewrite(tx, pack))
  await parts.repository.rewritePack(
    {
      series: pack.series,
      pack: pack.pack,
      from: {
        born: pack.born,
        generation: pack.generation,
        object: pack.object,
        objectBytes: pack.diskBytes,
      },
      to: { born: pack.born, ...intended, objectBytes: pack.targetBytes },
      keep: pack.keep ?? new Uint8Array(),
    },
    run.signal,
  )
  await run.transaction((tx) => recordRewrite(tx, pack, intended))
}
