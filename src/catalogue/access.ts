import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'

export interface AccessKeyRecord {
  readonly accessKeyId: string
  readonly secretSealed: Uint8Array
  readonly userName: string
}

/**
 * From now on this is the only key: one that it replaces, because it leaked, opens nothing. Gives the
 * IDs of those.
 */
export async function putOnlyAccessKey(
  tx: Transaction,
  key: AccessKeyRecord,
): Promise<readonly string[]> {
  const db = sqlOf(tx)
  const { rows } = await sql<{ id: string }>`
    delete from access_key where access_key_id <> ${key.accessKeyId}
    returning access_key_id as id`.execute(db)
  await sql`
    insert into access_key (access_key_id, secret_sealed, user_name)
    values (${key.accessKeyId}, ${Buffer.from(key.secretSealed)}, ${key.userName})
    on conflict (access_key_id) do update set secret_sealed = excluded.secret_sealed
    `.execute(db)
  return rows.map(({ id }) => id)
}

export async function accessKeyIds(tx: Transaction): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select access_key_id as id from access_key order by id`.execute(sqlOf(tx))
  return rows.map(({ id }) => id)
}

export async function findAccessKey(
  tx: Transaction,
  accessKeyId: string,
): Promise<AccessKeyRecord | null> {
  const { rows } = await sql<AccessKeyRecord>`
    select access_key_id as "accessKeyId", secret_sealed as "secretSealed",
      user_name as "userName"
    from access_key where access_key_id = ${accessKeyId}`.execute(sqlOf(tx))
  return rows[0] ?? null
}

/** True when this key has not used the nonce before; it is then used, durably, until `expiresAt`. */
export async function takeNonce(
  tx: Transaction,
  accessKeyId: string,
  nonce: string,
  expiresAt: Instant,
): Promise<boolean> {
  const { rows } = await sql`
    insert into nonce (access_key_id, nonce, expires_at)
    values (${accessKeyId}, ${nonce}, to_timestamp(${expiresAt}::float8 / 1000))
    on conflict do nothing returning 1`.execute(sqlOf(tx))
  return rows.length === 1
}

/** Nonces outside every signature window need not be remembered. */
export async function forgetNonces(tx: Transaction): Promise<void> {
  await sql`delete from nonce where expires_at < now()`.execute(sqlOf(tx))
}
