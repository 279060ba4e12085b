import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import type { TlsMode } from '../base/tls-settings.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** A database server that someone else runs. Secrets are sealed; certificates are PEM text. */
export interface AttachedServerRecord {
  readonly instanceId: InstanceId
  readonly role: 'primary' | 'standby'
  /** Shown as HostInstanceID; stays with the server when its role changes. */
  readonly node: string
  readonly host: string
  readonly port: number
  readonly database: string
  readonly userName: string
  readonly passwordSealed: Uint8Array
  readonly tlsMode: TlsMode
  readonly rootCertificate: string | null
  readonly clientCertificate: string | null
  readonly clientKeySealed: Uint8Array | null
}

export async function insertAttachedServer(
  tx: Transaction,
  server: AttachedServerRecord,
): Promise<void> {
  const { clientKeySealed } = server
  await sql`
    insert into attached_server (instance_id, role, node, host, port, database, user_name,
      password_sealed, tls_mode, root_certificate, client_certificate, client_key_sealed)
    values (${server.instanceId}, ${server.role}, ${server.node}, ${server.host}, ${server.port},
      ${server.database}, ${server.userName}, ${Buffer.from(server.passwordSealed)},
      ${server.tlsMode}, ${server.rootCertificate}, ${server.clientCertificate},
      ${clientKeySealed === null ? null : Buffer.from(clientKeySealed)})`.execute(sqlOf(tx))
}

/** The primary first, then the standbys by name. */
export async function attachedServersOf(
  tx: Transaction,
  instanceId: string,
): Promise<readonly AttachedServerRecord[]> {
  const { rows } = await sql<AttachedServerRecord>`
    select instance_id as "instanceId", role, node, host, port, database,
      user_name as "userName", password_sealed as "passwordSealed", tls_mode as "tlsMode",
      root_certificate as "rootCertificate", client_certificate as "clientCertificate",
      client_key_sealed as "clientKeySealed"
    from attached_server where instance_id = ${instanceId} order by role, node`.execute(sqlOf(tx))
  return rows
}

/**
 * `node` is the primary from now on, and the one before a standby. False, and nothing is changed, when
 * the instance was last seen on that timeline or a later one: then `node` is a primary of the past.
 */
export async function movePrimary(
  tx: Transaction,
  instanceId: InstanceId,
  node: string,
  timeline: number,
): Promise<boolean> {
  const db = sqlOf(tx)
  const { rows } = await sql`
    update instance set timeline = ${timeline}
    where instance_id = ${instanceId} and status in ('Running', 'Stopped')
      and (timeline is null or timeline < ${timeline}) returning 1`.execute(db)
  if (rows.length === 0) return false
  // In this order: an instance has one primary at any moment.
  await sql`
    update attached_server set role = 'standby'
    where instance_id = ${instanceId} and node <> ${node}`.execute(db)
  await sql`
    update attached_server set role = 'primary'
    where instance_id = ${instanceId} and node = ${node}`.execute(db)
  return true
}

/** The recorded primary itself is on a later timeline than it was last seen on. */
export async function noteTimeline(
  tx: Transaction,
  instanceId: InstanceId,
  timeline: number,
): Promise<void> {
  await sql`
    update instance set timeline = ${timeline}
    where instance_id = ${instanceId} and timeline < ${timeline}`.execute(sqlOf(tx))
}
