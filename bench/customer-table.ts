import pg from 'pg'

/** Where a server is and how it is asked. */
export interface ServerAddress {
  readonly port: number
  readonly user: string
  readonly password: string
}

/** About so many bytes of heap for a row of `CUSTOMERS`, and about a ninth of it for its index. */
const ROW_BYTES = 210
const LOAD_ROWS = 100_000

const CUSTOMERS = `
  create table customers (
    id int primary key,
    branch int not null,
    balance numeric(12, 2) not null,
    name text not null,
    town text not null,
    note text not null,
    changed timestamptz not null default now()
  ) with (fillfactor = 90)`

/** Rows `first` … `last`: words that repeat, numbers, and a note of hexadecimal that hardly packs. */
function insertRows(first: number, last: number): string {
  return `
    insert into customers (id, branch, balance, name, town, note)
    select i, i % 97, (hashint4(i) % 1000000) / 100.0,
      (array['Anna','Boris','Chen','Dilara','Emeka','Fatima'])[1 + i % 6] || ' ' || i,
      (array['Harbour Lane','Station Road','Mill Yard','Park Avenue'])[1 + i % 4],
      md5(i::text) || md5((i * 7)::text)
    from generate_series(${first}, ${last}) i`
}

async function withClient(
  { port, user, password }: ServerAddress,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'postgres' })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

/** Makes the table with about so many bytes of heap; returns its number of rows. */
export async function loadCustomers(server: ServerAddress, bytes: number): Promise<number> {
  const rows = Math.max(LOAD_ROWS, Math.round(bytes / ROW_BYTES))
  await withClient(server, async (client) => {
    await client.query(CUSTOMERS)
    for (let first = 1; first <= rows; first += LOAD_ROWS) {
      await client.query(insertRows(first, Math.min(rows, first + LOAD_ROWS - 1)))
    }
    await client.query('vacuum (analyze) customers')
    await client.query('checkpoint')
  })
  return rows
}

/** How a database changes between two sets; `rows` is how many it was loaded with. */
export type Workload = (rows: number, round: number) => string

const SET_BALANCE = 'update customers set balance = balance + 1, changed = now()'

/** What is changed each time is 1 part in `every`: new rows, the same stretches, or any rows. */
export const WORKLOADS: Readonly<Record<string, Workload>> = {
  append: (rows, round) => {
    const added = Math.round(rows / 50)
    return insertRows(rows + (round - 1) * added + 1, rows + round * added)
  },
  'hot spots': (rows) => `${SET_BALANCE} where (id / ${Math.ceil(rows / 1000)}) % 50 = 7`,
  'random writes': (_, round) => `${SET_BALANCE} where hashint4(id # ${round * 7919}) % 500 = 0`,
}

export async function change(server: ServerAddress, sql: string): Promise<void> {
  await withClient(server, async (client) => {
    await client.query(sql)
  })
}
