import { randomBytes } from 'node:crypto'
import type { Client } from 'pg'

/** How much the demonstration works on. */
export interface Scale {
  /** The table that is changed in spots. */
  readonly ledgerBytes: number
  /** The table that is loaded anew every day. */
  readonly stockBytes: number
  /** What the two deletions must give back. */
  readonly freedBytesMin: number
}

const MIB = 2 ** 20

export const SCALES: Readonly<Record<'small' | 'full', Scale>> = {
  full: { ledgerBytes: 120 * MIB, stockBytes: 80 * MIB, freedBytesMin: 60 * MIB },
  small: { ledgerBytes: 8 * MIB, stockBytes: 16 * MIB, freedBytesMin: 12 * MIB },
}

/** Seven rows of about 1100 bytes fill a page of 8 KiB. */
const ROW_BYTES = 8192 / 7
/** Spots lie this many rows apart and are this many rows long. */
const SPOT_EVERY_ROWS = 4000
const SPOT_ROWS = 100
const SENTENCES = 256

const WHO = [
  ...['The carrier', 'Our warehouse in Leipzig', 'The customer', 'A night shift', 'The broker'],
  ...['Accounting', 'The port of Ningbo', 'A second driver', 'The inspector', 'Quality control'],
  ...['The supplier', 'The regional office'],
]
const DID = [
  ...['confirmed', 'returned', 'repacked', 'counted', 'questioned', 'signed for', 'delayed'],
  ...['insured', 'photographed', 'released', 'weighed', 'relabelled'],
]
const WHAT = [
  ...['both pallets', 'the fragile goods', 'the whole delivery', 'one crate of instruments'],
  ...['the customs papers', 'the cold chain record', 'three of the parcels', 'the spare parts'],
  ...['an open invoice', 'the consignment note', 'the pump housings', 'last week’s order'],
]
const HOW = [
  ...['before noon', 'without remarks', 'under reserve', 'after a call', 'by hand', 'at gate 4'],
  ...['for the third time', 'in good order', 'with a new seal', 'as agreed', 'too late'],
  ...['on behalf of the buyer'],
]

/** Where rows come from: prose of six sentences, and the signature of whoever wrote it. */
const ROWS = `
  select n as id,
    timestamptz '2026-01-01' + n * interval '97 seconds' as written_at,
    'DE' || lpad((('x' || substr(encode(h, 'hex'), 1, 8))::bit(32)::bigint)::text, 12, '0') as account,
    (select string_agg(($1::text[])[1 + get_byte(h, k)], ' ' order by k) from generate_series(8, 13) k) as note,
    translate(encode(h || sha512(h) || sha512(h || 'b') || sha512(h || 'c') || sha512(h || 'd')
      || sha512(h || 'e') || sha512(h || 'f') || sha512(h || 'g'), 'base64'), E'\\n', '')
      as signature
  from generate_series($3::int, $4::int) n,
    lateral (select sha512(convert_to($2::text || n, 'UTF8')) as h) seed`

const COLUMNS =
  'id bigint primary key, written_at timestamptz, account text, note text, signature text'

/** Makes and fills both tables. Their content differs from run to run. */
export async function createTables(client: Client, scale: Scale): Promise<void> {
  for (const [table, bytes] of [
    ['ledger', scale.ledgerBytes],
    ['stock', scale.stockBytes],
  ] as const) {
    await client.query(`create table ${table} (${COLUMNS})`)
    await fill(client, table, bytes, 'first')
  }
  // As they would be after a while in use: otherwise the first days would change every page again.
  await client.query('vacuum (freeze, analyze)')
}

/** A day's work: spots all over the ledger change, the stock is loaded anew. */
export async function workADay(client: Client, scale: Scale, day: number): Promise<void> {
  await client.query(
    `update ledger set written_at = written_at + interval '1 day', note = $1 || note
     where (id + $2 * ${SPOT_ROWS}) % ${SPOT_EVERY_ROWS} < ${SPOT_ROWS}`,
    [`Day ${day}, corrected. `, day],
  )
  await client.query('truncate stock')
  await fill(client, 'stock', scale.stockBytes, `day ${day}`)
}

/** The size of a table with its index, in bytes. */
export async function tableBytes(client: Client, table: string): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    'select pg_total_relation_size($1::regclass) as bytes',
    [table],
  )
  return Number(rows[0]?.bytes)
}

async function fill(client: Client, table: string, bytes: number, name: string): Promise<void> {
  const seed = `${name} ${randomBytes(8).toString('hex')} `
  const rows = Math.ceil(bytes / ROW_BYTES)
  await client.query(`insert into ${table} ${ROWS}`, [sentences(), seed, 1, rows])
}

/** 256 of the sentences that the phrases give, so that one byte chooses one. */
function sentences(): readonly string[] {
  const pick = (list: readonly string[], byte: number | undefined) =>
    list[(byte ?? 0) % list.length] ?? ''
  return Array.from({ length: SENTENCES }, () => {
    const [a, b, c, d] = randomBytes(4)
    return `${pick(WHO, a)} ${pick(DID, b)} ${pick(WHAT, c)} ${pick(HOW, d)}.`
  })
}
