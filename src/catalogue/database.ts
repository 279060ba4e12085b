import { type Kysely, sql } from 'kysely'
import { isFault, systemCode } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { migrate } from './migrations/all.ts'
import type { Connection, Schema, Sql } from './sql/connection.ts'
import { openKysely, openPool } from './sql/connection.ts'

declare const inside: unique symbol

/** Opaque: only catalogue/ can query with it, so no SQL can be written elsewhere. */
export interface Transaction {
  readonly [inside]: 'transaction'
}

export interface Catalogue extends AsyncDisposable {
  readonly connection: Connection
  /**
   * Runs `work` in one transaction (READ COMMITTED: rows are locked by name, instance first, sets in
   * the order of their numbers). Retried as a whole when PostgreSQL breaks a deadlock.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /** Fails unless the catalogue answers. */
  ping(): Promise<void>
}

export type { Connection } from './sql/connection.ts'

const DEADLOCK_RETRIES_MAX = 5

/** Connects and brings the schema up to date; refuses a schema newer than this code knows. */
export async function openCatalogue(connection: Connection, log: Logger): Promise<Catalogue> {
  let closing = false
  const pool = openPool(connection, (error) => {
    // Connections are still closing when the server is told to stop.
    if (!closing) log.warn('catalogue connection lost', { error: error.message })
  })
  const kysely = openKysely(pool)
  try {
    await migrate(kysely)
  } catch (error) {
    await kysely.destroy()
    throw error
  }
  return {
    connection,
    transaction: (work) => runTransaction(kysely, work),
    ping: async () => {
      await sql`select 1`.execute(kysely)
    },
    [Symbol.asyncDispose]: async () => {
      closing = true
      await kysely.destroy()
    },
  }
}

/** For the files of this folder only: what a transaction really is. */
export function sqlOf(tx: Transaction): Sql {
  return tx as unknown as Sql
}

/**
 * For transactions of lookups by key: what is planned once (sql/connection.ts) is not planned anew for
 * the values at hand, and so never becomes a scan because many are named.
 */
export async function reusePlans(tx: Transaction): Promise<void> {
  await sql`select set_config('plan_cache_mode', 'force_generic_plan', true)`.execute(sqlOf(tx))
}

async function runTransaction<T>(
  kysely: Kysely<Schema>,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await kysely.transaction().execute((trx) => work(trx as unknown as Transaction))
    } catch (error) {
      const again = systemCode(error) === '40P01' && !isFault(error)
      if (!again || attempt === DEADLOCK_RETRIES_MAX) throw error
    }
  }
}
