import { describeError, Fault } from '../../base/fault.ts'
import type { ProbeResult, Source } from '../engine.ts'
import { judgeStandby, primaryFacts, primaryOf } from './choose-source.ts'
import { withSession } from './sql-session.ts'

const PRIMARY_TIMEOUT_MS = 3000
const STANDBY_LAG_MS = 1000

/** Running = the primary answers SQL within three seconds and is not in recovery. */
export async function probePostgres(source: Source, signal: AbortSignal): Promise<ProbeResult> {
  const endpoint = primaryOf(source)
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(PRIMARY_TIMEOUT_MS)])
  try {
    const primary = await withSession(endpoint, PRIMARY_TIMEOUT_MS, bounded, primaryFacts)
    const standbys = source.endpoints.filter(({ role }) => role === 'standby')
    const findings = await Promise.all(
      standbys.map((standby) => judgeStandby(standby, primary, signal, STANDBY_LAG_MS)),
    )
    const at = { node: endpoint.node, timeline: primary.timeline }
    return { running: true, primary: at, findings: findings.filter((finding) => finding !== null) }
  } catch (error) {
    signal.throwIfAborted()
    // Faults are about the server; anything else would be ours.
    if (!(error instanceof Fault) && !bounded.aborted) throw error
    const why = bounded.aborted ? 'no answer within 3 s' : describeError(error)
    return { running: false, primary: null, findings: [`primary ${endpoint.node}: ${why}`] }
  }
}
