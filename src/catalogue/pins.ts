import { sql } from 'kysely'
import type { ReadableSet } from './backup-sets.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** A pin whose holder is silent for this long is over: its process died. */
const PIN_LEASE_SECONDS = 60

/** Renew at least this often while reading. */
export const PIN_RENEW_MS = 15_000

/** R3: while it is pinned, a set can be neither deleted by hand nor purged. Repeating renews it. */
export async function pinSet(
  tx: Transaction,
  set: Pick<ReadableSet, 'series' | 'number'>,
  reason: 'restore' | 'verify',
  holder: string,
): Promise<void> {
  await sql`
    insert into pin (series, number, reason, holder, lease_until)
    values (${set.series}, ${set.number}, ${reason}, ${holder},
      now() + ${PIN_LEASE_SECONDS} * interval '1 second')
    on conflict (series, number, reason, holder) do update set lease_until = excluded.lease_until
    `.execute(sqlOf(tx))
}

export async function unpinSet(
  tx: Transaction,
  set: Pick<ReadableSet, 'series' | 'number'>,
  holder: string,
): Promise<void> {
  await sql`delete from pin where series = ${set.series} and number = ${set.number}
    and holder = ${holder}`.execute(sqlOf(tx))
}
