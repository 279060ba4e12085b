import assert from 'node:assert/strict'
import type { Instant } from '../../src/base/clock.ts'
import type { BackupSetId } from '../../src/base/ids.ts'
import { type Forecast, forecastDeletion } from '../../src/catalogue/forecast.ts'
import { forecastEach } from '../../src/catalogue/forecast-each.ts'
import { releasedBySet } from '../../src/catalogue/released-by-set.ts'
import { type Usage, usageOf } from '../../src/catalogue/usage.ts'
import type { History } from './history.ts'
import { idsOf, markAndSweep } from './history-model.ts'

/** After a reclaim: the catalogue's figures are those of the file system and of mark and sweep. */
export async function checkUsage(
  history: History,
  known: Pick<Usage, 'releasedBytes' | 'freedBytes'>,
): Promise<void> {
  const { catalogue } = history.parts
  const deleted = history.of('deleted')
  const single = new Set(deleted.map(({ deletion }) => deletion)).size === 1
  const { usage, together } = await catalogue.transaction(async (tx) => {
    const foretell = () => forecastDeletion(tx, history.instanceId, idsOf(deleted), history.now)
    return {
      usage: await usageOf(tx, history.instanceId),
      together: single ? await foretell() : null,
    }
  })
  const { total, writing } = await history.sizes()
  assert.equal(usage.storedBytes, total - writing, 'Σ st_size = catalogue')
  assert.equal(usage.pendingFreedBytes, 0, 'nothing is due after a reclaim')
  assert.equal(
    usage.keptBytes + usage.undeleteBytes + usage.deadBytes + usage.fixedBytes,
    usage.storedBytes,
    'the parts add up',
  )
  assert.equal(usage.keptBytes, markAndSweep(history.of('kept'), []))
  assert.equal(usage.undeleteBytes, markAndSweep(deleted, history.of('kept')))
  // Deleted by one call they are purged together, as the figure has it.
  if (together) assert.equal(usage.undeleteFreedBytes, together.freedBytes)
  assert.deepEqual(
    { releasedBytes: usage.releasedBytes, freedBytes: usage.freedBytes },
    known,
    'what purges have released and given back',
  )
}

/** What is said of one kept set: list, preview and mark and sweep agree. */
export async function checkSetFigures(history: History, at: Instant): Promise<void> {
  const kept = history.of('kept')
  const lasting = history.of('deleted').filter(({ purgeAfter }) => purgeAfter > at)
  await history.parts.catalogue.transaction(async (tx) => {
    const each = [...kept, ...lasting].map(({ set }) => set.setId as BackupSetId)
    const alone = new Map<BackupSetId, Forecast>()
    for (const id of each) {
      alone.set(id, await forecastDeletion(tx, history.instanceId, [id], at))
    }
    assert.deepEqual(await forecastEach(tx, history.instanceId, each, at), alone)
    const listed = await releasedBySet(tx, idsOf(kept), at)
    for (const made of kept) {
      const id = made.set.setId as BackupSetId
      const others = kept.filter((other) => other !== made)
      const foretold = alone.get(id)
      assert.equal(listed.get(id), markAndSweep([made], [...others, ...lasting]))
      assert.equal(foretold?.releasedBytes, listed.get(id))
    }
  })
}
