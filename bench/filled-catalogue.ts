import { sql } from 'kysely'
import pg from 'pg'
import type { Instant } from '../src/base/clock.ts'
import { newRequestId } from '../src/base/ids.ts'
import { SILENT } from '../src/base/logger.ts'
import {
  type Catalogue,
  type Connection,
  openCatalogue,
  sqlOf,
  type Transaction,
} from '../src/catalogue/database.ts'
import { openQueue, type Queue } from '../src/catalogue/queue.ts'
import type { OperationParts } from '../src/operations/parts.ts'
import { testChain } from '../src/testing/receipt-parts.ts'
import type { Context, Operation } from '../src/wire/operation.ts'
import { type CountingCatalogue, counting, type Work } from './counted-work.ts'
import { firstFree, type History, insertHistory } from './made-up-history.ts'

/** What the operations on sets are made from. */
type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'log' | 'receipts' | 'undeleteWindowMs'>

/** A database of its own for a catalogue with made-up histories in it. */
export class FilledCatalogue implements AsyncDisposable {
  readonly now: Instant
  readonly #plain: Catalogue
  readonly #queue: Queue
  readonly #client: pg.Client
  readonly #counting: CountingCatalogue
  readonly #stack: AsyncDisposableStack
  #counts = false

  private constructor(
    opened: { readonly catalogue: Catalogue; readonly queue: Queue; readonly client: pg.Client },
    now: Instant,
    stack: AsyncDisposableStack,
  ) {
    this.#plain = opened.catalogue
    this.#counting = counting(opened.catalogue)
    this.#queue = opened.queue
    this.#client = opened.client
    this.now = now
    this.#stack = stack
  }

  /** Makes the database on the server that `connection` leads to; whoever runs that ends it. */
  static async create(
    connection: Connection,
    database: string,
    now: Instant,
  ): Promise<FilledCatalogue> {
    await using maker = await connect(connection)
    await maker.client.query(`create database ${database}`)
    return FilledCatalogue.open(connection, database, now)
  }

  /** Opens one that was made before. */
  static async open(
    connection: Connection,
    database: string,
    now: Instant,
  ): Promise<FilledCatalogue> {
    await using stack = new AsyncDisposableStack()
    const own = { ...connection, database }
    const catalogue = stack.use(await openCatalogue(own, SILENT))
    const queue = stack.use(await openQueue(catalogue, SILENT, false))
    const { client } = stack.use(await connect(own))
    return new FilledCatalogue({ catalogue, queue, client }, now, stack.move())
  }

  /** Counts what it does while `count` works, and costs nothing more at other times. */
  get catalogue(): Catalogue {
    return this.#counts ? this.#counting.catalogue : this.#plain
  }

  /** What operations on sets are made from. */
  needs(undeleteWindowMs: number): Needs {
    const [receipts, log] = [testChain(), SILENT]
    return { catalogue: this.catalogue, queue: this.#queue, receipts, log, undeleteWindowMs }
  }

  async insert(history: Omit<History, 'now'>): Promise<void> {
    await insertHistory(this.#client, { ...history, now: this.now })
  }

  /**
   * Does what autovacuum does in time, so that a measurement does not depend on when it comes: what is
   * dead is in no index afterwards, and the planner knows the tables; of those that deletes change, or
   * of all.
   */
  async vacuum(which: 'changed' | 'all' = 'all'): Promise<void> {
    const tables = which === 'all' ? '' : 'backup_set, deletion, instance, job, series'
    await this.#client.query(`vacuum (analyze, index_cleanup on) ${tables}`)
  }

  /** Kept sets of an instance that nobody holds, oldest first. */
  async freeSets(instanceId: string): Promise<readonly number[]> {
    const { rows } = await this.#client.query<{ id: string }>(
      `select set_id as id from backup_set where instance_id = $1 and state = 'kept'
       order by number`,
      [instanceId],
    )
    return rows.slice(firstFree(rows.length) - 1).map(({ id }) => Number(id))
  }

  /** One call as the server makes it, of sets of one instance; fails unless it succeeds. */
  async ask(
    operation: Operation<Needs>,
    instanceId: string,
    setIds: readonly number[],
    undeleteWindowMs: number,
  ): Promise<Readonly<Record<string, unknown>>> {
    const raw = new Map([['DBInstanceId', instanceId]])
    if (setIds.length > 0) raw.set('BackupId', setIds.join(','))
    const context: Context = {
      raw,
      caller: { accessKeyId: 'benchAccessKeyId', user: 'root', address: '127.0.0.1' },
      requestId: newRequestId(),
      now: this.now,
    }
    return operation.answer(context, this.needs(undeleteWindowMs))
  }

  /** What `work` did in this catalogue's transactions. */
  async count(work: () => Promise<unknown>): Promise<Work> {
    this.#counts = true
    try {
      await work()
      return this.#counting.take()
    } finally {
      this.#counts = false
    }
  }

  /** Does `work` in a transaction that counts, and leaves nothing of it. */
  rehearse(work: (tx: Transaction) => Promise<unknown>): Promise<void> {
    return this.catalogue.transaction(async (tx) => {
      await sql`savepoint rehearsal`.execute(sqlOf(tx))
      await work(tx)
      await sql`rollback to savepoint rehearsal`.execute(sqlOf(tx))
    })
  }

  /** Makes deleted sets of an instance kept ones again and forgets that their purge was asked for. */
  async bringBack(instanceId: string): Promise<void> {
    await this.#client.query('begin')
    await this.#client.query(
      `with back as (
         update backup_set set state = 'kept', deletion = null, purge_after = null
         where instance_id = $1 and state = 'deleted' returning 1)
       update series set kept_count = kept_count + (select count(*) from back)
       where instance_id = $1`,
      [instanceId],
    )
    await this.#client.query(`delete from job where state = 'queued'`)
    await this.#client.query('delete from pgboss.job')
    await this.#client.query('commit')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

async function connect(connection: Connection): Promise<{ client: pg.Client } & AsyncDisposable> {
  const { host, port, database, user, password } = connection
  const client = new pg.Client({ host, port, database, user, password: password.reveal() })
  await client.connect()
  return { client, [Symbol.asyncDispose]: () => client.end() }
}
