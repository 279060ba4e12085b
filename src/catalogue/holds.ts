import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { BackupSetId, HoldId, InstanceId } from '../base/ids.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** A hold as it is listed. Times are service times. */
export interface HoldRecord {
  readonly id: HoldId
  readonly setId: BackupSetId
  readonly reason: string
  readonly accessKeyId: string
  readonly user: string
  readonly heldAt: Instant
  /** From then on it no longer holds; null: until it is released. */
  readonly until: Instant | null
}

export type NewHold = Omit<HoldRecord, 'id'> & {
  readonly instanceId: InstanceId
  readonly address: string
}

/** Holds of a set (alias `s`) at `now`, as the rules look at them, oldest first. */
export function activeHoldsSql(now: Instant) {
  return sql`coalesce((
    select json_agg(json_build_object('id', h.hold, 'reason', h.reason, 'until', h.held_until)
      order by h.hold)
    from hold h where h.set_id = s.set_id and ${holdsSql(now)}), '[]')`
}

/** Whether a hold (alias `h`) is in force at `now`. */
export function holdsSql(now: Instant) {
  return sql`${ACTIVE} and ${lastsSql(now)}`
}

const ACTIVE = sql`h.released_at is null`

function lastsSql(now: Instant) {
  return sql`(h.held_until is null or h.held_until > ${now})`
}

/** The caller has seen under the instance's lock that the set is kept. */
export async function insertHold(tx: Transaction, made: NewHold): Promise<HoldId> {
  const { rows } = await sql<{ id: HoldId }>`
    insert into hold (instance_id, set_id, reason, access_key_id, user_name, address, held_at,
      held_until)
    values (${made.instanceId}, ${made.setId}, ${made.reason}, ${made.accessKeyId}, ${made.user},
      ${made.address}, ${made.heldAt}, ${made.until})
    returning hold as id`.execute(sqlOf(tx))
  invariant(rows[0], 'the hold was inserted')
  return rows[0].id
}

const RECORD = sql`h.hold as id, h.set_id as "setId", h.reason,
  h.access_key_id as "accessKeyId", h.user_name as user, h.held_at as "heldAt",
  h.held_until as until`

/** Ends a hold of this instance that still holds; null when there is none of that ID. */
export async function releaseHold(
  tx: Transaction,
  instanceId: InstanceId,
  id: HoldId,
  now: Instant,
): Promise<HoldRecord | null> {
  const { rows } = await sql<HoldRecord>`
    update hold h set released_at = ${now}
    where h.hold = ${id} and h.instance_id = ${instanceId} and ${ACTIVE} and ${lastsSql(now)}
    returning ${RECORD}`.execute(sqlOf(tx))
  return rows[0] ?? null
}

/** Holds of an instance that still hold, of the sets named or of all, oldest first. */
export async function listHolds(
  tx: Transaction,
  instanceId: InstanceId,
  setIds: readonly string[] | null,
  now: Instant,
): Promise<readonly HoldRecord[]> {
  const { rows } = await sql<HoldRecord>`
    select ${RECORD} from hold h
    where h.instance_id = ${instanceId} and ${ACTIVE} and ${lastsSql(now)}
      and (${setIds}::text[] is null or h.set_id::text = any(${setIds}::text[]))
    order by h.hold`.execute(sqlOf(tx))
  return rows
}
