import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type { BackupPolicy, Category, Instance, InstanceStatus } from '../domain/instance.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

export interface InstanceWithPolicy {
  readonly instance: Instance
  readonly policy: BackupPolicy
}

interface Row extends Instance {
  readonly dataRetentionDays: number
  readonly logEnabled: boolean
  readonly logRetentionDays: number
  readonly preferredTime: string
  readonly preferredPeriod: string
}

const COLUMNS = sql`instance_id as id, engine, engine_version as "engineVersion", category, type,
  status, lock_mode as "lockMode", description, created_at as "createdAt",
  data_retention_days as "dataRetentionDays", log_enabled as "logEnabled",
  log_retention_days as "logRetentionDays", preferred_time as "preferredTime",
  preferred_period as "preferredPeriod"`

export interface NewInstance {
  readonly id: InstanceId
  readonly engine: string
  readonly engineVersion: string
  readonly category: Category
  readonly description: string
  readonly createdAt: Instant
  /** RDS's ClientToken and a hash of the parameters it was sent with; null without a token. */
  readonly token: { readonly value: string; readonly hash: string } | null
}

/** In state Creating. False when another request with the same ClientToken was first. */
export async function insertInstance(tx: Transaction, made: NewInstance): Promise<boolean> {
  const { rows } = await sql`
    insert into instance (instance_id, engine, engine_version, category, status, description,
      created_at, client_token, client_token_hash)
    values (${made.id}, ${made.engine}, ${made.engineVersion}, ${made.category}, 'Creating',
      ${made.description}, ${made.createdAt}, ${made.token?.value ?? null},
      ${made.token?.hash ?? null})
    on conflict (client_token) do nothing returning 1`.execute(sqlOf(tx))
  return rows.length === 1
}

/** What an earlier request with this ClientToken made. */
export async function instanceOfToken(
  tx: Transaction,
  token: string,
): Promise<{ readonly id: InstanceId; readonly hash: string } | null> {
  const { rows } = await sql<{ id: InstanceId; hash: string }>`
    select instance_id as id, client_token_hash as hash from instance
    where client_token = ${token}`.execute(sqlOf(tx))
  return rows[0] ?? null
}

export async function findInstance(
  tx: Transaction,
  id: string,
): Promise<InstanceWithPolicy | null> {
  const { rows } =
    await sql<Row>`select ${COLUMNS} from instance where instance_id = ${id}`.execute(sqlOf(tx))
  return rows[0] ? fromRow(rows[0]) : null
}

/**
 * The one lock: every transaction that changes an instance, its sets or its series begins here, so
 * that races end in a serial order.
 */
export async function lockInstance(
  tx: Transaction,
  id: string,
): Promise<InstanceWithPolicy | null> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from instance where instance_id = ${id} for update`.execute(sqlOf(tx))
  return rows[0] ? fromRow(rows[0]) : null
}

/** All instances, oldest first. */
export async function listInstances(tx: Transaction): Promise<readonly InstanceWithPolicy[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from instance order by created_at, instance_id`.execute(sqlOf(tx))
  return rows.map(fromRow)
}

export async function setInstanceStatus(
  tx: Transaction,
  id: InstanceId,
  status: InstanceStatus,
): Promise<void> {
  const { rows } = await sql`
    update instance set status = ${status} where instance_id = ${id} returning 1`.execute(sqlOf(tx))
  if (rows.length === 0) throw new Fault('not-found', `instance ${id} does not exist`)
}

export async function updatePolicy(
  tx: Transaction,
  id: InstanceId,
  policy: BackupPolicy,
): Promise<void> {
  await sql`
    update instance set data_retention_days = ${policy.dataRetentionDays},
      log_enabled = ${policy.log.enabled},
      log_retention_days = ${policy.log.enabled ? policy.log.retentionDays : sql`log_retention_days`},
      preferred_time = ${policy.preferredTime},
      preferred_period = ${policy.preferredPeriod.join(',')}
    where instance_id = ${id}`.execute(sqlOf(tx))
}

function fromRow(row: Row): InstanceWithPolicy {
  return {
    instance: {
      id: row.id,
      engine: row.engine,
      engineVersion: row.engineVersion,
      category: row.category,
      type: row.type,
      status: row.status,
      lockMode: row.lockMode,
      description: row.description,
      createdAt: row.createdAt,
    },
    policy: {
      dataRetentionDays: row.dataRetentionDays,
      log: row.logEnabled
        ? { enabled: true, retentionDays: row.logRetentionDays }
        : { enabled: false },
      preferredTime: row.preferredTime,
      preferredPeriod: row.preferredPeriod.split(','),
    },
  }
}

/** Removes an instance that never came to be, with its jobs and servers; it has no sets. */
export async function removeInstance(tx: Transaction, id: InstanceId): Promise<void> {
  const db = sqlOf(tx)
  await sql`delete from local_server where instance_id = ${id}`.execute(db)
  await sql`delete from job where instance_id = ${id}`.execute(db)
  await sql`delete from instance where instance_id = ${id}`.execute(db)
}
