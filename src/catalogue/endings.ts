import { sql } from 'kysely'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { SeriesId } from '../base/ids.ts'
import { fullBitmap, orBitmap, withoutBitmap } from '../series/bitmap.ts'
import type { Ending, RetirementState } from '../series/ending.ts'
import { planEnding } from '../series/ending.ts'
import type { PackNumber, SetNumber } from '../series/series.ts'
import type { Transaction } from './database.ts'
import { sqlOf } from './database.ts'
import { loadView, runsOf } from './series-view.ts'

/** A purge, decided: what it released and what the disk gets back for it, to the byte. */
export interface DecidedPurge {
  readonly purge: number
  readonly setIds: readonly number[]
  readonly releasedBytes: number
  readonly freedBytes: number
}

/**
 * Rule R2, for a purge: in one transaction marks the dead, reopens, moves, and fixes the plan. The
 * caller holds the locks of the instance and the series; `numbers` are deleted and not pinned.
 */
export async function purgeSets(
  tx: Transaction,
  series: SeriesId,
  numbers: readonly SetNumber[],
  now: Instant,
): Promise<DecidedPurge> {
  await onlyLookUp(tx)
  const runs = await runsOf(tx, series, numbers)
  const ending = planEnding(await loadView(tx, series, runs, 'everything'), numbers)
  await markDead(tx, series, ending)
  await removeRows(tx, series, [...ending.reopened])
  await moveRows(tx, series, ending)
  const ended = await endSets(tx, series, numbers)
  await sql`update series set newest_number = (
      select number from backup_set
      where series = ${series} and state in ('kept', 'deleted') order by number desc limit 1)
    where series = ${series}`.execute(sqlOf(tx))
  const decided = {
    setIds: ended.setIds,
    releasedBytes: ending.releasedBytes + ended.manifestBytes,
    freedBytes: ending.freedBytes + ended.manifestBytes,
  }
  const purge = await insertPurge(tx, series, decided, ended.manifestBytes, now)
  await setTargets(tx, series, ending, purge)
  await sql`update object set state = 'abandoned', purge = ${purge}
    where name = any(${ended.manifests}::text[])`.execute(sqlOf(tx))
  return { purge, ...decided }
}

/**
 * R6, for the rest of the transaction: its statements name their rows by key, some thousands at most.
 * By its estimates the planner would rather join them with the whole history, read once.
 */
async function onlyLookUp(tx: Transaction): Promise<void> {
  await sql`select set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
    `.execute(sqlOf(tx))
}

/** R2(a): the dying rows' chunks are dead for good; packs that die whole need no bitmap. */
async function markDead(tx: Transaction, series: SeriesId, ending: Ending): Promise<void> {
  const db = sqlOf(tx)
  const dead = new Map<PackNumber, Uint8Array>()
  for (const row of await takeRows(tx, series, ending.dying)) {
    dead.set(row.pack, orBitmap(dead.get(row.pack) ?? new Uint8Array(), row.which))
  }
  if (ending.dyingPacks.length > 0) {
    const lost = await sql<RetirementState>`
      select pack, born, retired, bytes from retirement
      where series = ${series} and pack = any(${ending.dyingPacks}::int[])`.execute(db)
    await removeRows(tx, series, lost.rows)
  }
  const packs = [...ending.liveBytes.keys()]
  const old = await sql<{ pack: PackNumber; dead: Uint8Array }>`
    select pack, dead from pack
    where series = ${series} and pack = any(${packs}::int[]) for update`.execute(db)
  const bits = new Map(old.rows.map((row) => [row.pack, row.dead]))
  const union = packs.map((pack) =>
    Buffer.from(orBitmap(bits.get(pack) ?? new Uint8Array(), dead.get(pack) ?? new Uint8Array())),
  )
  await sql`
    update pack k set dead = u.dead, live_bytes = u.live
    from unnest(${packs}::int[], ${union}::bytea[], ${[...ending.liveBytes.values()]}::bigint[])
      as u(pack, dead, live)
    where k.series = ${series} and k.pack = u.pack`.execute(db)
}

/** R2(c): rows of a retiring set that ended go to the next kept number, merging with rows there. */
async function moveRows(tx: Transaction, series: SeriesId, ending: Ending): Promise<void> {
  if (ending.moved.length === 0) return
  const targets = new Map(ending.moved.map(({ from, to }) => [rowKey(from), to]))
  const merged = new Map<string, RetirementState & { which: Uint8Array }>()
  const taken = await takeRows(
    tx,
    series,
    ending.moved.map((move) => move.from),
  )
  for (const row of taken) {
    const to = targets.get(rowKey(row))
    invariant(to !== undefined, 'a moved row has somewhere to go')
    mergeInto(merged, { ...row, retired: to })
  }
  const there = await sql<RetirementState & { which: Uint8Array }>`
    select t.pack, t.born, t.retired, t.bytes, t.which
    from unnest(${[...merged.values()].map((row) => row.retired)}::int[],
      ${[...merged.values()].map((row) => row.born)}::int[],
      ${[...merged.values()].map((row) => row.pack)}::int[]) as u(retired, born, pack)
    join retirement t on t.series = ${series} and t.retired = u.retired and t.born = u.born
      and t.pack = u.pack`.execute(sqlOf(tx))
  await removeRows(tx, series, there.rows)
  for (const row of there.rows) mergeInto(merged, row)
  await insertRows(tx, series, [...merged.values()])
}

function mergeInto(
  merged: Map<string, RetirementState & { which: Uint8Array }>,
  row: RetirementState & { which: Uint8Array },
): void {
  const other = merged.get(rowKey(row))
  merged.set(
    rowKey(row),
    other
      ? { ...row, bytes: row.bytes + other.bytes, which: orBitmap(row.which, other.which) }
      : row,
  )
}

function rowKey(row: RetirementState): string {
  return `${row.retired}/${row.born}/${row.pack}`
}

async function insertRows(
  tx: Transaction,
  series: SeriesId,
  rows: readonly (RetirementState & { which: Uint8Array })[],
): Promise<void> {
  const db = sqlOf(tx)
  await sql`
    insert into retirement (series, retired, born, pack, bytes, which)
    select ${series}, * from unnest(${rows.map((r) => r.retired)}::int[],
      ${rows.map((r) => r.born)}::int[], ${rows.map((r) => r.pack)}::int[],
      ${rows.map((r) => r.bytes)}::bigint[], ${rows.map((r) => Buffer.from(r.which))}::bytea[])
    `.execute(db)
  await addToSums(tx, series, rows, 1)
}

/** Removes rows and gives them back with their bitmaps. */
async function takeRows(
  tx: Transaction,
  series: SeriesId,
  rows: readonly RetirementState[],
): Promise<(RetirementState & { which: Uint8Array })[]> {
  if (rows.length === 0) return []
  const taken = await sql<RetirementState & { which: Uint8Array }>`
    delete from retirement t
    using unnest(${rows.map((r) => r.retired)}::int[], ${rows.map((r) => r.born)}::int[],
      ${rows.map((r) => r.pack)}::int[]) as u(retired, born, pack)
    where t.series = ${series} and t.retired = u.retired and t.born = u.born and t.pack = u.pack
    returning t.pack, t.born, t.retired, t.bytes, t.which`.execute(sqlOf(tx))
  invariant(taken.rows.length === rows.length, 'every row of the plan is there')
  await addToSums(tx, series, taken.rows, -1)
  return taken.rows
}

async function removeRows(
  tx: Transaction,
  series: SeriesId,
  rows: readonly RetirementState[],
): Promise<void> {
  await takeRows(tx, series, rows)
}

async function addToSums(
  tx: Transaction,
  series: SeriesId,
  rows: readonly RetirementState[],
  sign: 1 | -1,
): Promise<void> {
  const db = sqlOf(tx)
  await sql`
    insert into run_sum as s (series, retired, born, bytes, rows)
    select ${series}, u.retired, u.born, ${sign} * sum(u.bytes), ${sign} * count(*)
    from unnest(${rows.map((r) => r.retired)}::int[], ${rows.map((r) => r.born)}::int[],
      ${rows.map((r) => r.bytes)}::bigint[]) as u(retired, born, bytes)
    group by u.retired, u.born
    on conflict (series, retired, born)
    do update set bytes = s.bytes + excluded.bytes, rows = s.rows + excluded.rows`.execute(db)
  await sql`delete from run_sum where series = ${series} and rows = 0
    and retired = any(${rows.map((r) => r.retired)}::int[])`.execute(db)
}

async function endSets(tx: Transaction, series: SeriesId, numbers: readonly SetNumber[]) {
  const { rows } = await sql<{ setId: number; manifest: string; bytes: number }>`
    update backup_set set state = 'purged'
    where series = ${series} and number = any(${numbers}::int[]) and state = 'deleted'
    returning set_id as "setId", manifest, manifest_bytes as bytes`.execute(sqlOf(tx))
  invariant(rows.length === numbers.length, 'only deleted sets are purged')
  return {
    setIds: rows.map((row) => row.setId),
    manifests: rows.map((row) => row.manifest),
    manifestBytes: rows.reduce((total, row) => total + row.bytes, 0),
  }
}

async function insertPurge(
  tx: Transaction,
  series: SeriesId,
  decided: Omit<DecidedPurge, 'purge'>,
  manifestBytes: number,
  now: Instant,
): Promise<number> {
  const { rows } = await sql<{ purge: number }>`
    insert into purge (series, set_ids, released_bytes, freed_bytes, manifest_bytes, decided_at)
    values (${series}, ${decided.setIds}::bigint[], ${decided.releasedBytes},
      ${decided.freedBytes}, ${manifestBytes}, ${now})
    returning purge`.execute(sqlOf(tx))
  invariant(rows[0], 'the purge was inserted')
  return rows[0].purge
}

/**
 * R4: fixes each touched pack's target. `keep` is what the target was computed from: chunks that die
 * later without moving the target stay in the rewritten pack, so that its size is the target.
 */
async function setTargets(
  tx: Transaction,
  series: SeriesId,
  ending: Ending,
  purge: number,
): Promise<void> {
  const db = sqlOf(tx)
  const packs = ending.targets.map((target) => target.pack)
  const facts = await sql<{ pack: PackNumber; chunks: number; dead: Uint8Array }>`
    select pack, chunks, dead from pack
    where series = ${series} and pack = any(${packs}::int[])`.execute(db)
  const alive = new Map(
    facts.rows.map((row) => [row.pack, withoutBitmap(fullBitmap(row.chunks), row.dead)]),
  )
  const keep = ending.targets.map(({ pack, after }) =>
    after === 0 ? null : Buffer.from(alive.get(pack) ?? new Uint8Array()),
  )
  await sql`
    update pack k set target_bytes = u.after, keep = u.keep
    from unnest(${packs}::int[], ${ending.targets.map((t) => t.after)}::bigint[],
      ${keep}::bytea[]) as u(pack, after, keep)
    where k.series = ${series} and k.pack = u.pack`.execute(db)
  await sql`
    insert into plan (purge, series, pack, target_before, target_after)
    select ${purge}, ${series}, * from unnest(${packs}::int[],
      ${ending.targets.map((t) => t.before)}::bigint[],
      ${ending.targets.map((t) => t.after)}::bigint[])`.execute(db)
}
