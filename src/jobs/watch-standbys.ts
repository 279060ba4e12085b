import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { endAlarm, raiseAlarm } from '../catalogue/events.ts'
import { recordProbe } from '../catalogue/probes.ts'
import type { Instance } from '../domain/instance.ts'
import type { ProbeResult } from '../engines/engine.ts'

/** Probes in a row that must find a standby amiss before it counts as lost; one that does not ends it. */
export const STANDBY_FAILURES_TO_LOSE = 3

/**
 * Notes what a probe showed, and tells once that a standby is lost, and once that all are back. What
 * a primary that runs is found amiss with is its standbys; a follower's own state is its status.
 */
export async function noteProbe(
  catalogue: Catalogue,
  { id, masterId }: Pick<Instance, 'id' | 'masterId'>,
  { running, findings }: ProbeResult,
  log: Logger,
): Promise<void> {
  const standbyFindings = running && masterId === null ? findings.length : 0
  const details = { findings: [...findings] }
  const told = await catalogue.transaction(async (tx) => {
    const probed = { running, standbyFindings, findings: findings.length }
    const failures = await recordProbe(tx, id, probed)
    if (failures >= STANDBY_FAILURES_TO_LOSE) {
      const event = { kind: 'standby-lost', instanceId: id, details } as const
      return (await raiseAlarm(tx, id, event)) ? 'standby lost' : null
    }
    if (failures > 0 || !running) return null
    const event = { kind: 'standby-back', instanceId: id, details: {} } as const
    return (await endAlarm(tx, 'standby-lost', id, event)) ? 'standby back' : null
  })
  if (told !== null) log.warn(told, { instanceId: id, ...details })
}
