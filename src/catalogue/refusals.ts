import { sql } from 'kysely'
import type { InstanceId } from '../base/ids.ts'
import type { Actor } from '../domain/receipt.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { recordEvent } from './events.ts'

/** Refused calls that are recorded within a minute of real time; more are only in the log. */
export const REFUSALS_PER_INSTANCE_MAX = 10
export const REFUSALS_MAX = 100
/** And within a day, so that 30 days of a flood do not fill the catalogue. */
export const REFUSALS_PER_DAY_MAX = 10_000
/** Of one instance, so that a script that tries again and again does not keep the others' off the record. */
export const REFUSALS_PER_INSTANCE_AND_DAY_MAX = 1000

/** What someone names that is not ours need not be kept whole. */
const NAME_CHARACTERS_MAX = 64

/** A call that was refused, and why. */
export interface Refusal {
  readonly action: string
  /** As it was asked for: perhaps no instance has this name. */
  readonly instanceId: string
  readonly code: string
  /** The rule's number in docs/spec/deletion.md. */
  readonly rule: string
  readonly detail: string
  readonly requestId: string
  readonly actor: Actor
}

/**
 * Records that a call was refused, as an event that nobody is notified of. False when as many as may
 * be were recorded within the last minute or day. In a transaction of its own, since nothing was changed.
 */
export async function recordRefusal(tx: Transaction, refusal: Refusal): Promise<boolean> {
  const instanceId = nameOf(refusal.instanceId)
  if (!(await isRoom(tx, instanceId))) return false
  // Two calls must not both take the last place. Under a flood hardly anyone gets as far as here.
  await sql`select pg_advisory_xact_lock(hashtextextended('call-refused', 0))`.execute(sqlOf(tx))
  if (!(await isRoom(tx, instanceId))) return false
  const { action, code, rule, detail, requestId, actor } = refusal
  const { user, accessKeyId, address } = actor
  const asked = { action, code, rule, detail, requestId, user }
  await recordEvent(tx, {
    kind: 'call-refused',
    instanceId,
    details: { ...asked, accessKeyId: accessKeyId ?? '', address: address ?? '' },
  })
  return true
}

async function isRoom(tx: Transaction, instanceId: InstanceId): Promise<boolean> {
  const minute = await countRefusals(tx, instanceId, '1 minute')
  if (minute.all >= REFUSALS_MAX || minute.mine >= REFUSALS_PER_INSTANCE_MAX) return false
  // Only then the 10,000 rows of a day: more are never recorded in one.
  const day = await countRefusals(tx, instanceId, '1 day')
  return day.all < REFUSALS_PER_DAY_MAX && day.mine < REFUSALS_PER_INSTANCE_AND_DAY_MAX
}

async function countRefusals(
  tx: Transaction,
  instanceId: InstanceId,
  within: '1 minute' | '1 day',
): Promise<{ readonly all: number; readonly mine: number }> {
  const { rows } = await sql<{ all: number; mine: number }>`
    select count(*) as all, count(*) filter (where instance_id = ${instanceId}) as mine
    from event where kind = 'call-refused'
      and happened_at > clock_timestamp() - ${within}::interval`.execute(sqlOf(tx))
  return rows[0] ?? { all: 0, mine: 0 }
}

/** The catalogue takes neither NUL nor half of a character. */
function nameOf(asked: string): InstanceId {
  const name = asked.slice(0, NAME_CHARACTERS_MAX).replaceAll('\0', '\ufffd').toWellFormed()
  return name as InstanceId
}
