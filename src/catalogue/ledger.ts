import { sql } from 'kysely'
import { Fault, invariant } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import { packObjectName } from '../series/object-names.ts'
import type { NewSet, PackNumber, SetNumber } from '../series/series.ts'
import type { Catalogue, Transaction } from './database.ts'
import { sqlOf } from './database.ts'

/**
 * What the repository asks while it works: numbers and names on record before any byte is written,
 * and where a pack is now. A set that is no longer being written gets neither.
 */
export function createLedger(catalogue: Catalogue) {
  return {
    announcePacks: (set: NewSet, count: number) =>
      catalogue.transaction((tx) => announcePacks(tx, set, count)),
    announce: (set: NewSet, name: string) =>
      catalogue.transaction((tx) => announceObject(tx, set, name)),
    disown: (_set: NewSet, name: string) => catalogue.transaction((tx) => disownObject(tx, name)),
    locate: (series: SeriesId, pack: PackNumber) =>
      catalogue.transaction((tx) => locatePack(tx, series, pack)),
  }
}

/** An object that belongs to no set: the repository's header. */
export async function recordHeader(tx: Transaction, name: string, bytes: number): Promise<void> {
  await sql`
    insert into object (name, kind, bytes, state) values (${name}, 'header', ${bytes}, 'there')
    on conflict (name) do nothing`.execute(sqlOf(tx))
}

/** Whether the repository's header has ever been made. */
export async function isHeaderRecorded(tx: Transaction): Promise<boolean> {
  const { rows } = await sql`select 1 from object where kind = 'header'`.execute(sqlOf(tx))
  return rows.length > 0
}

async function announcePacks(tx: Transaction, set: NewSet, count: number): Promise<PackNumber> {
  const db = sqlOf(tx)
  // The series before the set, as everywhere.
  const { rows } = await sql<{ first: PackNumber }>`
    update series set next_pack = next_pack + ${count} where series = ${set.series}
    returning next_pack - ${count} as first`.execute(db)
  invariant(rows[0], 'the series of a set exists')
  await assertWriting(tx, set)
  const { first } = rows[0]
  const names = Array.from({ length: count }, (_, index) =>
    packObjectName(set.series, set.number, (first + index) as PackNumber, 0),
  )
  await sql`
    insert into object (name, series, number, kind, state)
    select u.name, ${set.series}, ${set.number}, 'pack', 'intended'
    from unnest(${names}::text[]) as u(name)`.execute(db)
  return first
}

async function announceObject(tx: Transaction, set: NewSet, name: string): Promise<void> {
  await assertWriting(tx, set)
  await sql`
    insert into object (name, series, number, kind, state)
    values (${name}, ${set.series}, ${set.number}, 'manifest', 'intended')
    on conflict (name) do nothing`.execute(sqlOf(tx))
}

/** The name is taken by bytes that are not ours: forgotten, so that nothing ever removes them. */
export async function disownObject(tx: Transaction, name: string): Promise<void> {
  await sql`delete from object where name = ${name} and state <> 'there'`.execute(sqlOf(tx))
}

async function assertWriting(tx: Transaction, set: NewSet): Promise<void> {
  const { rows } = await sql`
    select 1 from backup_set
    where series = ${set.series} and number = ${set.number} and state = 'writing'
    for share`.execute(sqlOf(tx))
  if (rows.length === 0) throw new Fault('superseded', 'this attempt no longer writes its set')
}

/** Where a pack is now; null when it is gone. */
export async function locatePack(tx: Transaction, series: SeriesId, pack: PackNumber) {
  const { rows } = await sql<{
    object: string
    born: SetNumber
    generation: number
    objectBytes: number
  }>`
    select object, born, generation, disk_bytes as "objectBytes" from pack
    where series = ${series} and pack = ${pack}`.execute(sqlOf(tx))
  return rows[0] ?? null
}
