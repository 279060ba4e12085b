import type { PackNumber, SetNumber } from './series.ts'
import { PACK_FIXED_BYTES } from './series.ts'

/** A pack as the rules see it. Bytes of chunks always include their index entries. */
export interface PackState {
  readonly pack: PackNumber
  readonly born: SetNumber
  /** Σ bytes of the chunks that are not dead. */
  readonly liveBytes: number
  /** The size that the pack has, or will have once the plans made so far are carried out. */
  readonly targetBytes: number
}

/** The living chunks of one pack that were retired by the same set: used by [born, retired). */
export interface RetirementState {
  readonly pack: PackNumber
  readonly born: SetNumber
  readonly retired: SetNumber
  readonly bytes: number
}

/**
 * The part of a series that an ending can touch. `kept` are the numbers of all sets that count as
 * kept (deleted ones in their undelete window and pinned ones included), ascending.
 */
export interface SeriesView {
  readonly kept: readonly SetNumber[]
  readonly packs: ReadonlyMap<PackNumber, PackState>
  readonly retirements: readonly RetirementState[]
}

interface TargetChange {
  readonly pack: PackNumber
  readonly before: number
  readonly after: number
}

/** What ending sets does, worked out before anything is changed (rules R2 and R4). */
export interface Ending {
  readonly kept: readonly SetNumber[]
  /** R2(a): rows whose chunks no kept set's number stabs any more: dead, finally. */
  readonly dying: readonly RetirementState[]
  /** R2(a): packs that no kept set is young enough to use: dead as a whole. */
  readonly dyingPacks: readonly PackNumber[]
  /** R2(b): rows retired by a set that is gone, with no later one: their chunks are open again. */
  readonly reopened: readonly RetirementState[]
  /** R2(c): rows whose retiring set ended: they move to the next kept number. */
  readonly moved: readonly { readonly from: RetirementState; readonly to: SetNumber }[]
  readonly targets: readonly TargetChange[]
  /** Live bytes left in each pack that loses some. */
  readonly liveBytes: ReadonlyMap<PackNumber, number>
  /** Stored bytes that become garbage. */
  readonly releasedBytes: number
  /** What the disk gets back: Σ (target before − after). */
  readonly freedBytes: number
}

/** Ends `ended` together, as one decision. Pure: the preview and the purge both call it. */
export function planEnding(view: SeriesView, ended: readonly SetNumber[]): Ending {
  const gone = new Set(ended)
  const kept = view.kept.filter((number) => !gone.has(number))
  const dyingPacks = [...view.packs.values()]
    .filter((pack) => firstAtLeast(kept, pack.born) === null)
    .map((pack) => pack.pack)
  const whole = new Set(dyingPacks)
  const rows = sortRows(view.retirements, kept, whole)
  const lost = sumByPack(rows.dying)
  for (const pack of dyingPacks) lost.set(pack, packOf(view, pack).liveBytes)
  const liveBytes = new Map<PackNumber, number>()
  const targets: TargetChange[] = []
  for (const [pack, bytes] of lost) {
    const state = packOf(view, pack)
    const live = state.liveBytes - bytes
    liveBytes.set(pack, live)
    const after = targetFor(live, state.targetBytes)
    if (after !== state.targetBytes) targets.push({ pack, before: state.targetBytes, after })
  }
  return {
    kept,
    ...rows,
    dyingPacks,
    targets,
    liveBytes,
    releasedBytes: sum(lost.values()),
    freedBytes: targets.reduce((total, change) => total + change.before - change.after, 0),
  }
}

/** The view after `ending`, so that decisions that wait for their turn can be foretold in order. */
export function afterEnding(view: SeriesView, ending: Ending): SeriesView {
  const packs = new Map(view.packs)
  for (const [pack, liveBytes] of ending.liveBytes) {
    packs.set(pack, { ...packOf(view, pack), liveBytes })
  }
  for (const change of ending.targets) {
    const state = packs.get(change.pack)
    if (!state || change.after === 0) packs.delete(change.pack)
    else packs.set(change.pack, { ...state, targetBytes: change.after })
  }
  const whole = new Set(ending.dyingPacks)
  const changed = new Set([...ending.dying, ...ending.reopened, ...ending.moved.map((m) => m.from)])
  const retirements = [
    ...view.retirements.filter((row) => !changed.has(row) && !whole.has(row.pack)),
    ...ending.moved.map(({ from, to }) => ({ ...from, retired: to })),
  ]
  return { kept: ending.kept, packs, retirements }
}

/**
 * Rule R4: nothing lives → the pack goes; the live part is under half of the present target → it is
 * rewritten to that size; otherwise it stays and the rest is dead in a pack more than half alive.
 */
export function targetFor(liveBytes: number, targetBytes: number): number {
  if (liveBytes === 0) return 0
  const rewritten = PACK_FIXED_BYTES + liveBytes
  return 2 * rewritten < targetBytes ? rewritten : targetBytes
}

/** The smallest kept number ≥ `number`, or null. `kept` is ascending. */
function firstAtLeast(kept: readonly SetNumber[], number: number): SetNumber | null {
  let low = 0
  let high = kept.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((kept[middle] ?? 0) < number) low = middle + 1
    else high = middle
  }
  return kept[low] ?? null
}

function sortRows(
  retirements: readonly RetirementState[],
  kept: readonly SetNumber[],
  whole: ReadonlySet<PackNumber>,
): Pick<Ending, 'dying' | 'reopened' | 'moved'> {
  const dying: RetirementState[] = []
  const reopened: RetirementState[] = []
  const moved: { from: RetirementState; to: SetNumber }[] = []
  for (const row of retirements) {
    if (whole.has(row.pack)) continue
    const user = firstAtLeast(kept, row.born)
    if (user === null || user >= row.retired) {
      dying.push(row)
      continue
    }
    const to = firstAtLeast(kept, row.retired)
    if (to === null) reopened.push(row)
    else if (to !== row.retired) moved.push({ from: row, to })
  }
  return { dying, reopened, moved }
}

function packOf(view: SeriesView, pack: PackNumber): PackState {
  const state = view.packs.get(pack)
  if (!state) throw new Error(`broken invariant: pack ${pack} is missing from the view`)
  return state
}

function sumByPack(rows: readonly RetirementState[]): Map<PackNumber, number> {
  const sums = new Map<PackNumber, number>()
  for (const row of rows) sums.set(row.pack, (sums.get(row.pack) ?? 0) + row.bytes)
  return sums
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
