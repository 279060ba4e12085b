import { describeError, Fault } from '../../base/fault.ts'
import type { Endpoint, Inspection, Source } from '../engine.ts'
import { primaryFacts, primaryOf } from './choose-source.ts'
import { readServerFacts } from './server-facts.ts'
import { withSession } from './sql-session.ts'

const ASK_TIMEOUT_MS = 10_000

/** Asks the primary what it is; what stands in the way is a problem, not a Fault. */
export async function inspectPostgres(source: Source, signal: AbortSignal): Promise<Inspection> {
  const endpoint = primaryOf(source)
  try {
    return await withSession(endpoint, ASK_TIMEOUT_MS, signal, async (session) => {
      const { version, versionNumber } = await readServerFacts(session)
      const { systemIdentifier, timeline } = await primaryFacts(session)
      const majorVersion = String(Math.floor(versionNumber / 10_000))
      return { problems: [], facts: { version, majorVersion, systemIdentifier, timeline } }
    })
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof Fault)) throw error
    return { problems: [problemOf(error, endpoint)], facts: null }
  }
}

function problemOf(fault: Fault, { host, port }: Endpoint) {
  return {
    server: `${host}:${port}`,
    problem: describeError(fault),
    advice: fault.hint ?? 'see the server log',
  }
}
