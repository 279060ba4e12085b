import { sql } from 'kysely'
import type { ReadableSet } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** A pin whose holder is silent for this long is over: its process died. Real time. */
export const PIN_LEASE_MS = 60_000

/** Renew at least this often while reading. */
export const PIN_RENEW_MS = 15_000

type Pinned = Pick<ReadableSet, 'series' | 'number'>

/** A set (alias `s`) that someone reads; with a reason, that someone reads for it. */
export function pinnedSql(reason: 'restore' | null) {
  return sql<boolean>`exists (select 1 from pin p
    where p.series = s.series and p.number = s.number and p.lease_until > now()
      and (${reason}::text is null or p.reason = ${reason}))`
}

/** R3: a set (alias `s`) that a backup builds on, or that someone reads: its purge waits. */
export const beingReadSql = sql<boolean>`(
  exists (select 1 from backup_set w
          where w.series = s.series and w.state = 'writing' and w.base_number = s.number)
  or ${pinnedSql(null)})`

/** R3: while it is pinned a set is not purged; while a restore pins it, it is not deleted by hand. */
export async function pinSet(
  tx: Transaction,
  set: Pinned,
  reason: 'restore' | 'verify',
  holder: string,
): Promise<void> {
  await sql`
    insert into pin (series, number, reason, holder, lease_until)
    values (${set.series}, ${set.number}, ${reason}, ${holder},
      now() + ${PIN_LEASE_MS} * interval '1 millisecond')`.execute(sqlOf(tx))
}

/** Renews all pins of the holder; gives how many there still were. A lapsed pin is not revived. */
export async function renewPins(tx: Transaction, holder: string): Promise<number> {
  const { rows } = await sql`
    update pin set lease_until = now() + ${PIN_LEASE_MS} * interval '1 millisecond'
    where holder = ${holder} and lease_until > now() returning 1`.execute(sqlOf(tx))
  return rows.length
}

/** Whether the holder still reads something. */
export async function hasPins(tx: Transaction, holder: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 from pin where holder = ${holder} and lease_until > now() limit 1`.execute(sqlOf(tx))
  return rows.length > 0
}

/** The holder has read what it wanted; pins that lapsed long ago go as well. */
export async function releasePins(tx: Transaction, holder: string): Promise<void> {
  await sql`delete from pin where holder = ${holder} or lease_until < now() - interval '1 day'`.execute(
    sqlOf(tx),
  )
}
