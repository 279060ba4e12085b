import { type RawBuilder, sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { InstanceId } from '../base/ids.ts'
import type {
  BackupPolicy,
  Category,
  Instance,
  InstanceStatus,
  InstanceType,
  Origin,
  ReleasedKeepPolicy,
} from '../domain/instance.ts'
import type { Transaction } from './database.ts'
import { REUSE_PLANS, sqlOf } from './database.ts'
import { plannedOnce } from './sql/connection.ts'

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
  readonly releasedKeepPolicy: ReleasedKeepPolicy | null
  readonly maxRateKib: number | null
  readonly restoreWindowProtection: boolean
  readonly minimumBackupSets: number | null
  readonly allowManualDelete: boolean
}

const COLUMNS = sql`instance_id as id, engine, engine_version as "engineVersion", category, type,
  status, lock_mode as "lockMode", description, created_at as "createdAt",
  data_retention_days as "dataRetentionDays", log_enabled as "logEnabled",
  log_retention_days as "logRetentionDays", preferred_time as "preferredTime",
  preferred_period as "preferredPeriod", origin, master_instance_id as "masterId",
  system_identifier as "systemIdentifier", timeline, deletion_protection as "deletionProtection",
  released_keep_policy as "releasedKeepPolicy", max_rate_kib as "maxRateKib",
  released_at as "releasedAt", restore_window_protection as "restoreWindowProtection",
  minimum_backup_sets as "minimumBackupSets", allow_manual_delete as "allowManualDelete"`

export interface NewInstance {
  readonly id: InstanceId
  readonly engine: string
  readonly engineVersion: string
  readonly category: Category
  readonly type: InstanceType
  readonly origin: Origin
  readonly masterId: InstanceId | null
  readonly deletionProtection: boolean
  readonly releasedKeepPolicy: ReleasedKeepPolicy | null
  readonly maxRateKib: number | null
  readonly description: string
  readonly createdAt: Instant
  /** RDS's ClientToken and a hash of the parameters it was sent with; null without a token. */
  readonly token: { readonly value: string; readonly hash: string } | null
}

/** In state Creating. False when the ID or the ClientToken is taken. */
export async function insertInstance(tx: Transaction, made: NewInstance): Promise<boolean> {
  const { rows } = await sql`
    insert into instance (instance_id, engine, engine_version, category, type, origin,
      master_instance_id, deletion_protection, released_keep_policy, max_rate_kib, status,
      description, created_at, client_token, client_token_hash)
    values (${made.id}, ${made.engine}, ${made.engineVersion}, ${made.category}, ${made.type},
      ${made.origin}, ${made.masterId}, ${made.deletionProtection}, ${made.releasedKeepPolicy},
      ${made.maxRateKib}, 'Creating', ${made.description}, ${made.createdAt},
      ${made.token?.value ?? null}, ${made.token?.hash ?? null})
    on conflict do nothing returning 1`.execute(sqlOf(tx))
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

/** Null when there is none, or when it was released. */
export async function findInstance(
  tx: Transaction,
  id: string,
): Promise<InstanceWithPolicy | null> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from instance
    where instance_id = ${id} and released_at is null`.execute(sqlOf(tx))
  return rows[0] ? fromRow(rows[0]) : null
}

/** Instances by their IDs, released ones too. */
export async function readInstances(
  tx: Transaction,
  ids: readonly InstanceId[],
): Promise<ReadonlyMap<InstanceId, InstanceWithPolicy>> {
  const { rows } = await sql<Row>`${plannedOnce}
    select ${COLUMNS} from instance where instance_id = any(${ids}::text[])`.execute(sqlOf(tx))
  return new Map(rows.map((row) => [row.id, fromRow(row)]))
}

/**
 * The one lock: every transaction that changes an instance, its sets or its series begins here, so
 * that races end in a serial order.
 */
export async function lockInstance(
  tx: Transaction,
  id: string,
): Promise<InstanceWithPolicy | null> {
  return lockRow(tx, id, sql``)
}

/** `lockInstance` and `reusePlans` in one: the first statement of transactions of lookups by key. */
export async function lockInstanceForLookups(
  tx: Transaction,
  id: string,
): Promise<InstanceWithPolicy | null> {
  return lockRow(tx, id, sql`, ${REUSE_PLANS}`)
}

async function lockRow(
  tx: Transaction,
  id: string,
  more: RawBuilder<unknown>,
): Promise<InstanceWithPolicy | null> {
  const { rows } = await sql<Row>`${plannedOnce}
    select ${COLUMNS} ${more} from instance where instance_id = ${id} for update`.execute(sqlOf(tx))
  return rows[0] ? fromRow(rows[0]) : null
}

/** The same for an instance that was not released: all that its servers are needed for. */
export async function lockLiveInstance(
  tx: Transaction,
  id: string,
): Promise<InstanceWithPolicy | null> {
  const found = await lockInstance(tx, id)
  return found?.instance.status === 'Released' ? null : found
}

/** All instances that were not released, oldest first. */
export async function listInstances(tx: Transaction): Promise<readonly InstanceWithPolicy[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from instance where released_at is null order by created_at, instance_id`.execute(
    sqlOf(tx),
  )
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

/** A changed schedule counts from `now` on: a slot of it that has passed is not made up for. */
export async function updatePolicy(
  tx: Transaction,
  id: InstanceId,
  policy: BackupPolicy,
  now: Instant,
): Promise<void> {
  const [time, period] = [policy.preferredTime, policy.preferredPeriod.join(',')]
  await sql`
    update instance set data_retention_days = ${policy.dataRetentionDays},
      log_enabled = ${policy.log.enabled},
      log_retention_days = ${policy.log.retentionDays},
      scheduled_from = case when preferred_time = ${time} and preferred_period = ${period}
        then scheduled_from else ${now}::bigint end,
      preferred_time = ${time}, preferred_period = ${period},
      released_keep_policy = ${policy.releasedKeepPolicy}, max_rate_kib = ${policy.maxRateKib},
      restore_window_protection = ${policy.restoreWindowProtection},
      minimum_backup_sets = ${policy.minimumBackupSets},
      allow_manual_delete = ${policy.allowManualDelete}
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
      origin: row.origin,
      masterId: row.masterId,
      systemIdentifier: row.systemIdentifier,
      timeline: row.timeline,
      deletionProtection: row.deletionProtection,
      createdAt: row.createdAt,
      releasedAt: row.releasedAt,
    },
    policy: {
      dataRetentionDays: row.dataRetentionDays,
      log: { enabled: row.logEnabled, retentionDays: row.logRetentionDays },
      preferredTime: row.preferredTime,
      preferredPeriod: row.preferredPeriod.split(','),
      releasedKeepPolicy: row.releasedKeepPolicy,
      maxRateKib: row.maxRateKib,
      restoreWindowProtection: row.restoreWindowProtection,
      minimumBackupSets: row.minimumBackupSets,
      allowManualDelete: row.allowManualDelete,
    },
  }
}

/** Removes an instance that never came to be, with its jobs and servers; it has no sets. */
export async function removeInstance(tx: Transaction, id: InstanceId): Promise<void> {
  const db = sqlOf(tx)
  await forgetServers(tx, id)
  await sql`delete from job where instance_id = ${id}`.execute(db)
  await sql`delete from instance where instance_id = ${id}`.execute(db)
}

/** What an inspection found out; the instance is Running from now on. False when it is not Creating. */
export async function finishAttaching(
  tx: Transaction,
  id: InstanceId,
  facts: { readonly systemIdentifier: string; readonly timeline: number; readonly version: string },
): Promise<boolean> {
  const { rows } = await sql`
    update instance set status = 'Running', system_identifier = ${facts.systemIdentifier},
      timeline = ${facts.timeline}, engine_version = ${facts.version}
    where instance_id = ${id} and status = 'Creating' returning 1`.execute(sqlOf(tx))
  return rows.length === 1
}

/**
 * Live attached instances of this cluster. Attaches of one cluster follow each other from here to the
 * ends of their transactions, so that only one of them finds none.
 */
export async function instancesOfCluster(
  tx: Transaction,
  systemIdentifier: string,
): Promise<readonly InstanceId[]> {
  const db = sqlOf(tx)
  await sql`select pg_advisory_xact_lock(hashtextextended(${systemIdentifier}, 0))`.execute(db)
  const { rows } = await sql<{ id: InstanceId }>`
    select instance_id as id from instance
    where origin = 'attached' and system_identifier = ${systemIdentifier} and released_at is null
      and status <> 'Creating'`.execute(db)
  return rows.map((row) => row.id)
}

/** Live instances that follow this one. */
export async function followersOf(
  tx: Transaction,
  id: InstanceId,
): Promise<readonly InstanceWithPolicy[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from instance where master_instance_id = ${id} and released_at is null
    order by instance_id`.execute(sqlOf(tx))
  return rows.map(fromRow)
}

export async function setDeletionProtection(
  tx: Transaction,
  id: InstanceId,
  on: boolean,
): Promise<void> {
  await sql`update instance set deletion_protection = ${on} where instance_id = ${id}`.execute(
    sqlOf(tx),
  )
}

/** The instance's servers are no longer known; its kept sets outlive it. */
export async function releaseInstance(
  tx: Transaction,
  id: InstanceId,
  now: Instant,
): Promise<void> {
  const db = sqlOf(tx)
  await forgetServers(tx, id)
  await sql`delete from probe where instance_id = ${id}`.execute(db)
  await sql`
    update instance set status = 'Released', released_at = ${now}, client_token = null
    where instance_id = ${id}`.execute(db)
}

async function forgetServers(tx: Transaction, id: InstanceId): Promise<void> {
  const db = sqlOf(tx)
  await sql`delete from local_server where instance_id = ${id}`.execute(db)
  await sql`delete from attached_server where instance_id = ${id}`.execute(db)
}
