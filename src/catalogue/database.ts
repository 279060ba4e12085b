import { sql, type TransactionBuilder } from 'kysely'
import { pause } from '../base/clock.ts'
import { describeError, Fault, isFault, systemCode } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { isConnectionLoss } from './connection-loss.ts'
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
   * Runs `work` in one transaction (READ COMMITTED: rows are locked by name, a job's own first, then
   * the instance, sets in the order of their numbers). Retried as a whole when PostgreSQL breaks a deadlock or finds that it
   * would not fit a serial order. Without a connection, and when those retries do not end, it is a
   * Fault `transient`: nothing has changed, unless the connection broke while it was committed.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /**
   * Runs `work` in one transaction that reads what is there when it begins and nothing newer, changes
   * nothing and locks nothing: nobody waits for it, and it for nobody.
   */
  snapshot<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /** Fails unless the catalogue answers. */
  ping(): Promise<void>
}

export type { Connection, External } from './sql/connection.ts'

/** PostgreSQL manual, "PostgreSQL Error Codes": deadlock_detected, serialization_failure. */
const RETRIED: ReadonlySet<string | null> = new Set(['40P01', '40001'])
/** The same: disk_full. */
const DISK_FULL = '53100'
/** The same: read_only_sql_transaction. */
const READ_ONLY = '25006'
const TRIES_MAX = 10
const RETRY_PAUSE_MS = 5

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
    transaction: (work) => runTransaction(kysely.transaction(), work, isConnectionLoss),
    snapshot: (work) =>
      runTransaction(
        kysely.transaction().setIsolationLevel('repeatable read').setAccessMode('read only'),
        work,
        // A write in it is a mistake of ours: a server that has become a standby reads as well.
        (error) => systemCode(error) !== READ_ONLY && isConnectionLoss(error),
      ),
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
  await sql`select ${REUSE_PLANS}`.execute(sqlOf(tx))
}

/** The same as a column of a transaction's first statement, which saves the way there and back. */
export const REUSE_PLANS = sql`set_config('plan_cache_mode', 'force_generic_plan', true)`

async function runTransaction<T>(
  builder: TransactionBuilder<Schema>,
  work: (tx: Transaction) => Promise<T>,
  isLoss: (error: unknown) => boolean,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await builder.execute((trx) => work(trx as unknown as Transaction))
    } catch (error) {
      if (isFault(error)) throw error
      if (isLoss(error)) {
        const message = `the catalogue cannot be reached: ${describeError(error)}`
        throw new Fault('transient', message, { cause: error })
      }
      if (systemCode(error) === DISK_FULL) {
        const message = `the catalogue cannot grow: ${describeError(error)}`
        throw new Fault('no-space', message, {
          cause: error,
          hint: 'free space on its file system',
        })
      }
      if (!RETRIED.has(systemCode(error))) throw error
      if (attempt === TRIES_MAX) {
        const message = `a transaction was in the way of others ${attempt} times`
        throw new Fault('transient', message, { cause: error })
      }
      await pause(attempt * RETRY_PAUSE_MS)
    }
  }
}
