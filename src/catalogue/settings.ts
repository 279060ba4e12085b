import { sql } from 'kysely'
import { machineNow, parseIso } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/** Later times have no RDS form, and a clock that passed it could never go back. */
const LATEST = parseIso('9999-01-01T00:00:00Z') ?? 0

/** Null until the data folder's first start has recorded it. */
export async function readDevelopmentClock(tx: Transaction): Promise<boolean | null> {
  const value = await readSetting(tx, 'development-clock')
  return typeof value === 'boolean' ? value : null
}

/** Recorded once, when the data folder is made; it can never be changed. */
export async function recordDevelopmentClock(tx: Transaction, used: boolean): Promise<void> {
  await sql`insert into setting (name, value) values ('development-clock', ${JSON.stringify(used)})
    on conflict do nothing`.execute(sqlOf(tx))
}

/** How far service time is ahead of the machine's, in milliseconds; 0 without a development clock. */
export async function readClockOffset(tx: Transaction): Promise<number> {
  const value = await readSetting(tx, 'clock-offset-ms')
  return typeof value === 'number' ? value : 0
}

/** Moves the development clock on, never back. Returns the new offset in milliseconds. */
export async function advanceClock(tx: Transaction, byMs: number): Promise<number> {
  if ((await readDevelopmentClock(tx)) !== true) {
    throw new Fault('denied', 'this service was not made with a development clock', {
      hint: 'only one first started with --development-clock has a clock that can be moved',
    })
  }
  if (!Number.isSafeInteger(byMs) || byMs <= 0) {
    throw new Fault('unfit', 'the development clock only goes forward')
  }
  const ahead = (await readClockOffset(tx)) + byMs
  if (machineNow() + ahead > LATEST) {
    throw new Fault('unfit', 'the development clock ends with the year 9999')
  }
  const { rows } = await sql<{ value: number }>`
    insert into setting as s (name, value) values ('clock-offset-ms', ${JSON.stringify(byMs)})
    on conflict (name) do update set value = to_jsonb((s.value)::bigint + ${byMs}::bigint)
    returning value`.execute(sqlOf(tx))
  return rows[0]?.value ?? byMs
}

async function readSetting(tx: Transaction, name: string): Promise<unknown> {
  const { rows } = await sql<{ value: unknown }>`
    select value from setting where name = ${name}`.execute(sqlOf(tx))
  return rows[0]?.value
}

/** A sealed text that only the right key opens; null before anything was sealed. */
export async function readKeyCheck(tx: Transaction): Promise<Uint8Array | null> {
  const value = await readSetting(tx, 'key-check')
  return typeof value === 'string' ? Buffer.from(value, 'base64') : null
}

export async function recordKeyCheck(tx: Transaction, sealed: Uint8Array): Promise<void> {
  const text = Buffer.from(sealed).toString('base64')
  await sql`insert into setting (name, value) values ('key-check', ${JSON.stringify(text)})
    on conflict do nothing`.execute(sqlOf(tx))
}

/** The repository that this catalogue remembers; null before the first start has chosen its ID. */
export async function readRepositoryId(tx: Transaction): Promise<string | null> {
  const value = await readSetting(tx, 'repository')
  return typeof value === 'string' ? value : null
}

/** Ties the catalogue to one repository, before that is made; for ever. */
export async function recordRepositoryId(tx: Transaction, id: string): Promise<void> {
  await sql`insert into setting (name, value) values ('repository', ${JSON.stringify(id)})
    on conflict do nothing`.execute(sqlOf(tx))
}
