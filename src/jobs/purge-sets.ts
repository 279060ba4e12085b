import type { Instant } from '../base/clock.ts'
import { describeError, isFault } from '../base/fault.ts'
import type { Transaction } from '../catalogue/database.ts'
import { type DecidedDeletion, purgeNext } from '../catalogue/deletions.ts'
import { lockInstance } from '../catalogue/instances.ts'
import { disownObject } from '../catalogue/ledger.ts'
import { appendReceipt } from '../catalogue/receipts.ts'
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
import { listedSets } from '../domain/deletion-receipt.ts'
import { SYSTEM } from '../domain/receipt.ts'
import type { PackNumber } from '../series/series.ts'
import { tellDamage } from './damage.ts'
import type { Job, Run, WorkerParts } from './job.ts'

const LATE_REMOVAL_MS = 60_000

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
    const now = parts.clock.now()
    const settled = await settlePurges(tx, run.instanceId, now)
    for (const { purge, setIds, ...known } of settled) {
      const { requestId, releasedBytes, freedBytes, reclaimedBytes } = known
      const bytes = { releasedBytes, predictedFreedBytes: freedBytes, freedBytes: reclaimedBytes }
      const details = { step: 'over', purge, ...listedSets(setIds.map(String)), ...bytes }
      const asked = { instanceId: run.instanceId, at: now, requestId, actor: SYSTEM }
      await appendReceipt(tx, parts.receipts, { kind: 'reclaim', ...asked, details })
    }
    return settled
  })
  for (const { setIds, ...told } of finished) {
    run.log.info('reclaim finished', { backupIds: setIds, ...told })
  }
}

async function decideNext(run: Run, parts: WorkerParts): Promise<boolean> {
  const decided = await run.transaction(async (tx) => {
    await lockInstance(tx, run.instanceId)
    const now = parts.clock.now()
    const purge = await purgeNext(tx, run.instanceId, now)
    if (purge) await noteDecision(tx, purge, now, run, parts)
    return purge
  })
  if (!decided) return false
  const { setIds, ...bytes } = decided
  run.log.info('purge decided', { backupIds: setIds, ...bytes })
  return true
}

/** The service decides by itself, when a window is over, whoever asked for the deletion. */
async function noteDecision(
  tx: Transaction,
  { purge, setIds, requestId, releasedBytes, freedBytes }: DecidedDeletion,
  at: Instant,
  { instanceId }: Run,
  { receipts }: WorkerParts,
): Promise<void> {
  const bytes = { releasedBytes, predictedFreedBytes: freedBytes }
  const details = { step: 'decided', purge, ...listedSets(setIds.map(String)), ...bytes }
  const asked = { instanceId, at, requestId, actor: SYSTEM }
  await appendReceipt(tx, receipts, { kind: 'purge', ...asked, details })
}

async function reclaim(run: Run, parts: WorkerParts): Promise<void> {
  run.report('reclaiming')
  await run.transaction((tx) => abandonRewrites(tx, run.instanceId))
  /** Packs that could not be rewritten: the others must not wait for them. */
  const hurt = new Set<PackNumber>()
  for (;;) {
    run.signal.throwIfAborted()
    await removeAbandoned(run, parts, run.signal)
    const due = await run.transaction((tx) => duePacks(tx, run.instanceId))
    const drops = due.filter((pack) => pack.targetBytes === 0)
    const smallest = due.find((pack) => !hurt.has(pack.pack))
    if (drops.length > 0) await run.transaction((tx) => dropPacks(tx, drops))
    else if (smallest) await rewriteOrPass(smallest, hurt, run, parts)
    else return
  }
}

/** A damaged pack stays as it is and is tried again with the next purge, or within a minute. */
async function rewriteOrPass(
  pack: DuePack,
  hurt: Set<PackNumber>,
  run: Run,
  parts: WorkerParts,
): Promise<void> {
  try {
    await rewrite(pack, run, parts)
  } catch (error) {
    if (!isFault(error, 'corrupt', 'not-found', 'exists')) throw error
    hurt.add(pack.pack)
    run.log.error('pack cannot be rewritten', {
      object: pack.object,
      error: describeError(error),
    })
    await run.transaction((tx) =>
      tellDamage(tx, 'reclaiming space', run.instanceId, pack.object, error),
    )
  }
}

/**
 * Removes the instance's abandoned objects, manifests first, and then their rows: the rows are how
 * garbage is found again after a crash.
 */
export async function removeAbandoned(
  run: Run,
  parts: WorkerParts,
  signal: AbortSignal,
): Promise<void> {
  const names = await run.transaction((tx) => abandonedObjects(tx, run.instanceId))
  const manifests = names.filter((name) => name.endsWith('/manifest'))
  const packs = names.filter((name) => !name.endsWith('/manifest'))
  for (const batch of [manifests, packs]) {
    if (batch.length === 0) continue
    await parts.repository.removeObjects(batch, signal)
    await run.transaction((tx) => forgetObjects(tx, batch))
  }
}

async function rewrite(pack: DuePack, run: Run, parts: WorkerParts): Promise<void> {
  const { repository, catalogue } = parts
  const { object, generation, diskBytes, born, series, keep } = pack
  const intended = await run.transaction((tx) => intendRewrite(tx, pack))
  const step = {
    series,
    pack: pack.pack,
    from: { object, born, generation, objectBytes: diskBytes },
    to: { ...intended, born, objectBytes: pack.targetBytes },
    keep: keep ?? new Uint8Array(),
  }
  try {
    await repository.rewritePack(step, run.signal)
    await run.transaction((tx) => recordRewrite(tx, pack, intended))
  } catch (error) {
    if (isFault(error, 'exists')) {
      await catalogue.transaction((tx) => disownObject(tx, intended.object))
    }
    // Whoever has taken over knows nothing of an object that came late.
    if (isFault(error, 'superseded')) {
      await repository.removeObjects([intended.object], AbortSignal.timeout(LATE_REMOVAL_MS))
    }
    throw error
  }
}
