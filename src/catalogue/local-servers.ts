import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** A database server that the service runs itself for a local instance. */
export interface LocalServerRecord {
  readonly instanceId: InstanceId
  readonly role: 'primary' | 'standby'
  /** Shown as HostInstanceID. */
  readonly node: string
  readonly directory: string
  readonly port: number
  readonly userName: string
  readonly passwordSealed: Uint8Array
}

const COLUMNS = sql`instance_id as "instanceId", role, node, directory, port,
  user_name as "userName", password_sealed as "passwordSealed"`

/** Kept as it is when the instance already has a server of that role: creation is repeatable. */
export async function insertLocalServer(tx: Transaction, server: LocalServerRecord): Promise<void> {
  await sql`
    insert into local_server
      (instance_id, role, node, directory, port, user_name, password_sealed)
    values (${server.instanceId}, ${server.role}, ${server.node}, ${server.directory},
      ${server.port}, ${server.userName}, ${Buffer.from(server.passwordSealed)})
    on conflict (instance_id, role) do nothing`.execute(sqlOf(tx))
}

/** Another port for a server whose old one was taken while it was down. */
export async function moveLocalServer(tx: Transaction, node: string, port: number): Promise<void> {
  await sql`update local_server set port = ${port} where node = ${node}`.execute(sqlOf(tx))
}

/** Primaries before standbys. */
export async function localServersOf(
  tx: Transaction,
  instanceId: string,
): Promise<readonly LocalServerRecord[]> {
  const { rows } = await sql<LocalServerRecord>`
    select ${COLUMNS} from local_server where instance_id = ${instanceId} order by role`.execute(
    sqlOf(tx),
  )
  return rows
}

/** Servers of all finished local instances, primaries before standbys. */
export async function localServersToRun(tx: Transaction): Promise<readonly LocalServerRecord[]> {
  const { rows } = await sql<LocalServerRecord>`
    select ${COLUMNS} from local_server join instance using (instance_id)
    where status in ('Running', 'Stopped') order by instance_id, role`.execute(sqlOf(tx))
  return rows
}
