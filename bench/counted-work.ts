import { sql } from 'kysely'
import { type Catalogue, sqlOf, type Transaction } from '../src/catalogue/database.ts'

/** What transactions did to one table, its indexes included. */
export interface TableWork {
  readonly table: string
  /** Scans of the whole table. */
  readonly scans: number
  /** Index entries that were looked at, and rows of whole scans. */
  readonly read: number
  /** Rows inserted, updated or deleted. */
  readonly written: number
  /** Pages of 8 KiB asked for. */
  readonly pages: number
}

export interface Work {
  readonly tables: readonly TableWork[]
  /** Write-ahead log, of the whole server. */
  readonly logBytes: number
}

export interface CountingCatalogue {
  readonly catalogue: Catalogue
  /** What the transactions did since the last call. */
  readonly take: () => Work
}

type Counters = ReadonlyMap<string, TableWork>

/**
 * The same catalogue, whose transactions are counted, by PostgreSQL itself and row by row: what a
 * decision touches does not depend on the machine.
 */
export function counting(catalogue: Catalogue): CountingCatalogue {
  let work: TableWork[] = []
  let logBytes = 0
  const countIn = async <T>(tx: Transaction, todo: (tx: Transaction) => Promise<T>) => {
    const [before, start] = [await read(tx), await logPosition(tx)]
    const result = await todo(tx)
    work.push(...difference(before, await read(tx)))
    logBytes += (await logPosition(tx)) - start
    return result
  }
  return {
    catalogue: {
      ...catalogue,
      transaction: (todo) => catalogue.transaction((tx) => countIn(tx, todo)),
      snapshot: (todo) => catalogue.snapshot((tx) => countIn(tx, todo)),
    },
    take: () => {
      const taken = { tables: joined(work), logBytes }
      work = []
      logBytes = 0
      return taken
    },
  }
}

/** Rows read and written, and pages asked for, of all tables together. */
export function totals({ tables }: Work): { readonly rows: number; readonly pages: number } {
  return {
    rows: tables.reduce((total, { read, written }) => total + read + written, 0),
    pages: tables.reduce((total, { pages }) => total + pages, 0),
  }
}

async function read(tx: Transaction): Promise<Counters> {
  const { rows } = await sql<TableWork>`
    select coalesce(t.relname, c.relname) as table,
      sum(pg_stat_get_xact_numscans(c.oid)) filter (where c.relkind = 'r')::int as scans,
      sum(pg_stat_get_xact_tuples_returned(c.oid))::int as read,
      sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
        + pg_stat_get_xact_tuples_deleted(c.oid))::int as written,
      sum(pg_stat_get_xact_blocks_fetched(c.oid))::int as pages
    from pg_class c
      left join pg_index i on i.indexrelid = c.oid
      left join pg_class t on t.oid = i.indrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i')
    group by 1`.execute(sqlOf(tx))
  return new Map(rows.map((row) => [row.table, row]))
}

async function logPosition(tx: Transaction): Promise<number> {
  const { rows } = await sql<{ position: number }>`
    select (pg_current_wal_insert_lsn() - '0/0')::bigint as position`.execute(sqlOf(tx))
  return rows[0]?.position ?? 0
}

function difference(before: Counters, after: Counters): TableWork[] {
  return [...after.values()].map((now) => {
    const then = before.get(now.table)
    return {
      table: now.table,
      scans: now.scans - (then?.scans ?? 0),
      read: now.read - (then?.read ?? 0),
      written: now.written - (then?.written ?? 0),
      pages: now.pages - (then?.pages ?? 0),
    }
  })
}

function joined(work: readonly TableWork[]): TableWork[] {
  return [...Map.groupBy(work, ({ table }) => table).values()].map((parts) => ({
    table: parts[0]?.table ?? '',
    scans: sumOf(parts, 'scans'),
    read: sumOf(parts, 'read'),
    written: sumOf(parts, 'written'),
    pages: sumOf(parts, 'pages'),
  }))
}

function sumOf(parts: readonly TableWork[], field: 'scans' | 'read' | 'written' | 'pages'): number {
  return parts.reduce((total, part) => total + part[field], 0)
}
