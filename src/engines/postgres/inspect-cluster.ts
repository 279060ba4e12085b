import type { ServerProblem } from '../../domain/attaching.ts'
import type { Endpoint, Source } from '../engine.ts'
import { serverName } from './inspect-advice.ts'
import type { SeenServer } from './inspect-server.ts'
import { laterLsn } from './lsn.ts'

interface Seen {
  readonly endpoint: Endpoint
  readonly server: SeenServer
}

/** Whether the servers that could be asked belong together, and to the cluster that is expected. */
export function compareServers(source: Source, seen: readonly Seen[]): readonly ServerProblem[] {
  const known = seen.filter(({ server }) => server.systemIdentifier !== '')
  const primary = known.find(({ endpoint }) => endpoint.role === 'primary')
  const problems = sameServers(known)
  const expected = source.systemIdentifier ?? primary?.server.systemIdentifier ?? null
  for (const each of known) {
    const { endpoint, server } = each
    if (expected !== null && server.systemIdentifier !== expected) {
      problems.push({
        server: serverName(endpoint),
        problem: `it belongs to another cluster: system identifier ${server.systemIdentifier}, not ${expected}`,
        advice: 'name servers of one cluster: standbys made of that very primary',
      })
    } else if (primary && endpoint.role === 'standby' && server.inRecovery && server.monitorRole) {
      problems.push(...judgeFollowing(each, primary))
    }
  }
  return problems
}

/** One server under two names would be taken for a pair. */
function sameServers(seen: readonly Seen[]): ServerProblem[] {
  return seen.flatMap(({ endpoint, server }, index) => {
    const earlier = seen.slice(0, index).find((other) => isSame(other.server, server))
    if (!earlier) return []
    const problem = `it is the same server as ${serverName(earlier.endpoint)}`
    return [{ server: serverName(endpoint), problem, advice: 'name each server once' }]
  })
}

function isSame(one: SeenServer, other: SeenServer): boolean {
  return one.systemIdentifier === other.systemIdentifier && one.identity === other.identity
}

function judgeFollowing({ endpoint, server }: Seen, primary: Seen): ServerProblem[] {
  const name = serverName(endpoint)
  if (!server.streaming) {
    return [
      {
        server: name,
        problem: 'it does not stream from its primary',
        advice: 'check primary_conninfo, and the log of the standby',
      },
    ]
  }
  const { position } = primary.server
  // Asked at the same moment, so a standby may lag a little; one of a fork stays behind for good.
  const far =
    position !== null &&
    server.position !== null &&
    laterLsn(position, server.position) === position &&
    position - server.position > LAG_MAX_BYTES
  if (server.timeline !== primary.server.timeline || far) {
    return [
      {
        server: name,
        problem: `it does not follow ${serverName(primary.endpoint)}: other timeline, or far behind`,
        advice: 'name the primary that the standby streams from, or wait until it has caught up',
      },
    ]
  }
  return []
}

const LAG_MAX_BYTES = 16n * 1024n ** 3n
