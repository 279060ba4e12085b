import { randomName } from '../../base/ids.ts'
import type { ServerProblem } from '../../domain/attaching.ts'
import type { ClusterFacts, Endpoint, Inspection, Source } from '../engine.ts'
import { primaryOf } from './choose-source.ts'
import { refusalOf } from './inspect-advice.ts'
import { compareServers } from './inspect-cluster.ts'
import { askServer, isSupported, judgeServer, type SeenServer } from './inspect-server.ts'
import { ReplicationConnection } from './replication-connection.ts'

const ASK_MS = 10_000
const REPLICATION_MS = 15_000

/** What is known of one server, and what is wrong with it alone. */
interface Looked {
  readonly endpoint: Endpoint
  readonly seen: SeenServer | null
  readonly problems: readonly ServerProblem[]
}

/**
 * Looks at all servers at once, each within a bound: by SQL at what they are, by really opening what a
 * backup opens at whether they let it; then at whether they belong together. Nothing is changed, and
 * the slots that were tried are temporary.
 */
export async function inspectPostgres(source: Source, signal: AbortSignal): Promise<Inspection> {
  const primary = primaryOf(source)
  const looked = await Promise.all(source.endpoints.map((endpoint) => look(endpoint, signal)))
  const seen = looked.flatMap(({ endpoint, seen: server }) =>
    server === null ? [] : [{ endpoint, server }],
  )
  const problems = [...looked.flatMap((each) => each.problems), ...compareServers(source, seen)]
  const first = looked.find(({ endpoint }) => endpoint === primary)?.seen ?? null
  return { problems: distinct(problems), facts: first && factsOf(first) }
}

async function look(endpoint: Endpoint, signal: AbortSignal): Promise<Looked> {
  try {
    const seen = await askServer(endpoint, ASK_MS, signal)
    const problems = judgeServer(endpoint, seen)
    const tried = isSupported(seen.versionNumber) ? await tryReplication(endpoint, signal) : []
    return { endpoint, seen, problems: [...problems, ...tried] }
  } catch (error) {
    signal.throwIfAborted()
    const { problem, answered } = refusalOf(error, endpoint)
    // Whom pg_hba.conf keeps from SQL wants to know about replication at the same time.
    const tried = answered ? await tryReplication(endpoint, signal) : []
    return { endpoint, seen: null, problems: [problem, ...tried] }
  }
}

/** A backup is two replication connections and a slot; so are these. */
async function tryReplication(endpoint: Endpoint, signal: AbortSignal): Promise<ServerProblem[]> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(REPLICATION_MS)])
  try {
    await using wal = await ReplicationConnection.open(endpoint, 'holdfast-inspect', bounded)
    await using _base = await ReplicationConnection.open(endpoint, 'holdfast-inspect', bounded)
    const slot = `holdfast_inspect_${randomName(12)}`
    await wal.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY PHYSICAL RESERVE_WAL`)
    // It would go with the connection, but that the server notices later.
    await wal.query(`DROP_REPLICATION_SLOT ${slot}`)
    return []
  } catch (error) {
    signal.throwIfAborted()
    return [refusalOf(error, endpoint).problem]
  }
}

function factsOf(seen: SeenServer): ClusterFacts {
  return {
    version: seen.version,
    majorVersion: String(Math.floor(seen.versionNumber / 10_000)),
    systemIdentifier: seen.systemIdentifier,
    timeline: seen.timeline,
  }
}

/** Settings, SQL and replication meet the same obstacle: what mends it is told once. */
function distinct(problems: readonly ServerProblem[]): readonly ServerProblem[] {
  const known = new Set<string>()
  return problems.filter(({ server, advice }) => {
    const key = `${server} ${advice}`
    if (known.has(key)) return false
    known.add(key)
    return true
  })
}
