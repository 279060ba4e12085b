import type { Client } from 'pg'

export interface TableChecksum {
  readonly table: string
  readonly rows: number
  /** MD5 over the MD5s of all rows in sorted order: it depends on every byte, on no physical order. */
  readonly checksum: string
}

/** Reads every row of every table that is not the server's own; sorted by name. */
export async function checksumTables(client: Client): Promise<readonly TableChecksum[]> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
  )
  const sums: TableChecksum[] = []
  for (const { name } of tables) {
    const { rows } = await client.query<{ rows: number; checksum: string }>(
      `select count(*)::int as rows,
         md5(coalesce(string_agg(sum, '' order by sum collate "C"), '')) as checksum
       from (select md5(t::text) as sum from ${name} t) each_row`,
    )
    sums.push({ table: name, rows: rows[0]?.rows ?? 0, checksum: rows[0]?.checksum ?? '' })
  }
  return sums
}
