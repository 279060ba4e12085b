import { invariant } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Sealer } from '../base/sealing.ts'
import { type AttachedServerRecord, attachedServersOf } from '../catalogue/attached-servers.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { findInstance } from '../catalogue/instances.ts'
import { localServersOf } from '../catalogue/local-servers.ts'
import type { Instance } from '../domain/instance.ts'
import type { Endpoint, Source } from '../engines/engine.ts'
import { endpointOf } from './local-servers.ts'

/**
 * Where an instance is read from now. A read-only or disaster recovery instance is a standby of its
 * master's primary, wherever that is at this moment.
 */
export async function sourceOf(
  catalogue: Catalogue,
  sealer: Sealer,
  instanceId: InstanceId,
): Promise<Source> {
  return catalogue.transaction(async (tx) => {
    const found = await findInstance(tx, instanceId)
    invariant(found, 'the instance of a job exists')
    const { instance } = found
    const own = await endpointsOf(tx, sealer, instance)
    if (instance.masterId === null) {
      return { endpoints: own, systemIdentifier: instance.systemIdentifier }
    }
    const master = await findInstance(tx, instance.masterId)
    invariant(master, 'an instance with followers is not removed')
    const leaders = await endpointsOf(tx, sealer, master.instance)
    const followers = own.map((endpoint) => ({ ...endpoint, role: 'standby' as const }))
    return {
      endpoints: [...leaders.filter(({ role }) => role === 'primary'), ...followers],
      systemIdentifier: master.instance.systemIdentifier,
    }
  })
}

async function endpointsOf(
  tx: Transaction,
  sealer: Sealer,
  { id, origin }: Instance,
): Promise<readonly Endpoint[]> {
  if (origin === 'local') {
    return (await localServersOf(tx, id)).map((server) => endpointOf(server, sealer))
  }
  return (await attachedServersOf(tx, id)).map((server) => attachedEndpoint(server, sealer))
}

function attachedEndpoint(server: AttachedServerRecord, sealer: Sealer): Endpoint {
  const { role, node, host, port, database, userName: user } = server
  const { clientCertificate, clientKeySealed } = server
  const client =
    clientCertificate !== null && clientKeySealed !== null
      ? { certificate: clientCertificate, key: sealer.open(clientKeySealed) }
      : null
  return {
    ...{ role, node, host, port, database, user },
    password: sealer.open(server.passwordSealed),
    tls: {
      mode: server.tlsMode,
      rootCertificate: server.rootCertificate,
      client,
    },
  }
}
