import type { Instant } from '../../src/base/clock.ts'
import { type InstanceId, newInstanceId } from '../../src/base/ids.ts'
import type { Catalogue } from '../../src/catalogue/database.ts'
import { insertInstance, setInstanceStatus } from '../../src/catalogue/instances.ts'

/** A running instance that no server stands behind. */
export async function createInstance(
  catalogue: Catalogue,
  createdAt: Instant,
): Promise<InstanceId> {
  const id = newInstanceId()
  await catalogue.transaction(async (tx) => {
    await insertInstance(tx, {
      id,
      engine: 'PostgreSQL',
      engineVersion: '18',
      category: 'HighAvailability',
      type: 'Primary',
      origin: 'local',
      masterId: null,
      deletionProtection: false,
      releasedKeepPolicy: null,
      maxRateKib: null,
      description: '',
      createdAt,
      token: null,
    })
    await setInstanceStatus(tx, id, 'Running')
  })
  return id
}
