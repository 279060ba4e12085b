import { DAY_MS, type Instant, instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { BackupSetId, InstanceId } from '../base/ids.ts'
import { newInstanceId } from '../base/ids.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { insertInstance, setInstanceStatus } from '../catalogue/instances.ts'
import { beginAttempt, finishJob, insertJob } from '../catalogue/jobs.ts'
import { createLedger } from '../catalogue/ledger.ts'
import { beginSet, recordSealed } from '../catalogue/series.ts'

const MANIFEST_BYTES = 1000

/** A running Basic instance without servers, made at `createdAt`. */
export async function makeTestInstance(
  catalogue: Catalogue,
  createdAt: Instant,
  id: InstanceId = newInstanceId(),
): Promise<InstanceId> {
  await catalogue.transaction(async (tx) => {
    await insertInstance(tx, {
      ...{ id, engine: 'PostgreSQL', engineVersion: '18', category: 'Basic', type: 'Primary' },
      ...{ origin: 'local', masterId: null, deletionProtection: false, token: null },
      ...{ releasedKeepPolicy: null, maxRateKib: null, description: '', createdAt },
    })
    await setInstanceStatus(tx, id, 'Running')
  })
  return id
}

/** A kept set that holds no data but a manifest that was never written, finished at `finishedAt`. */
export async function makeTestSet(
  catalogue: Catalogue,
  instanceId: InstanceId,
  finishedAt: Instant,
  mode: 'Manual' | 'Automated' = 'Manual',
): Promise<BackupSetId> {
  const parameters = { mode }
  const request = { kind: 'take-backup', instanceId, parameters, requestId: null } as const
  const begun = await catalogue.transaction(async (tx) => {
    const taken = await beginAttempt(tx, await insertJob(tx, request, finishedAt))
    invariant(taken, 'the job was inserted a moment ago')
    const set = await beginSet(tx, instanceId, taken.attempt, mode, instant(finishedAt - DAY_MS))
    return { set, attempt: taken.attempt }
  })
  const { series, number, setId } = begun.set
  const manifest = `series/${series}/${number}/manifest`
  await createLedger(catalogue).announce(begun.set, manifest)
  await catalogue.transaction(async (tx) => {
    const nothing = { packs: [], retirements: [], contentBytes: 0, newBytes: 0, manifestHash: '' }
    const stored = { series, number, setId, manifest }
    const sealed = { ...nothing, stored, manifestBytes: MANIFEST_BYTES }
    const facts = { finishedAt, consistentAt: finishedAt, node: 'n', engineVersion: '18' }
    await recordSealed(tx, sealed, facts)
    await finishJob(tx, begun.attempt, { state: 'finished' }, finishedAt)
  })
  return setId as BackupSetId
}
