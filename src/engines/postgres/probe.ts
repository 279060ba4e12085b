import { describeError, isFault } from '../../base/fault.ts'
import type { Endpoint, ProbeResult, Source } from '../engine.ts'
import { judgeStandby, type PrimaryFacts, primaryFacts, primaryOf } from './choose-source.ts'
import { withSession } from './sql-session.ts'

const ANSWER_MS = 3000

/**
 * Running = the recorded primary answers SQL within three seconds, is not in recovery, and belongs to
 * the cluster that the source names. When it does not, the other servers are asked whether one of
 * them is the primary now.
 */
export async function probePostgres(source: Source, signal: AbortSignal): Promise<ProbeResult> {
  const endpoint = primaryOf(source)
  const others = source.endpoints.filter((other) => other !== endpoint)
  const asked = await askClaim(endpoint, source, signal)
  if (typeof asked === 'string') {
    const claims = await Promise.all(others.map((other) => askClaim(other, source, signal)))
    return { running: false, ...judgeClaims(others, claims, `primary ${endpoint.node}: ${asked}`) }
  }
  const findings = await Promise.all(
    // A standby that lags is no lost one: whether it has caught up matters to a backup alone.
    others.map((standby) => judgeStandby(standby, asked, signal, null)),
  )
  return {
    running: true,
    primary: { node: endpoint.node, timeline: asked.timeline },
    findings: findings.filter((finding) => finding !== null),
  }
}

/** Two claimants: nobody here can tell which of them is right. */
function judgeClaims(
  others: readonly Endpoint[],
  claims: readonly (PrimaryFacts | string)[],
  finding: string,
): Pick<ProbeResult, 'primary' | 'findings'> {
  const claimants = others.flatMap(({ node }, index) => {
    const claim = claims[index]
    return claim === undefined || typeof claim === 'string'
      ? []
      : [{ node, timeline: claim.timeline }]
  })
  const [only] = claimants
  if (only !== undefined && claimants.length === 1) return { primary: only, findings: [finding] }
  if (only === undefined) return { primary: null, findings: [finding] }
  const names = claimants.map(({ node }) => node).join(' and ')
  return { primary: null, findings: [finding, `${names} all say that they are the primary`] }
}

/** What the server is as a primary, or why it is none. */
async function askClaim(
  endpoint: Endpoint,
  { systemIdentifier }: Source,
  signal: AbortSignal,
): Promise<PrimaryFacts | string> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
  try {
    const facts = await withSession(endpoint, ANSWER_MS, bounded, primaryFacts)
    if (systemIdentifier !== null && facts.systemIdentifier !== systemIdentifier) {
      return `belongs to another cluster (system identifier ${facts.systemIdentifier})`
    }
    return facts
  } catch (error) {
    signal.throwIfAborted()
    if (bounded.aborted) return 'no answer within 3 s'
    // Faults are about the server; anything else would be ours.
    if (!isFault(error)) throw error
    return describeError(error)
  }
}
