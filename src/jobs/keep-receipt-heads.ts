import { readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { machineNow, rest } from '../base/clock.ts'
import { describeError, describeWithAdvice, isFault } from '../base/fault.ts'
import { type FileLock, tryFileLock } from '../base/file-lock.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { raiseAgain } from '../catalogue/events.ts'
import { changedHeads, foundHeads, NOTHING_SEEN, type ReceiptHead } from '../catalogue/receipts.ts'
import {
  alarmSubject,
  HeldHeads,
  headsLockOf,
  type KeptHeads,
  nameKeeper,
} from './receipt-heads-file.ts'

const LOOK_MS = 500
const LOCK_PAUSE_MS = 5_000
/** So often the heads of all chains are compared, not only those that have moved. */
const LOOKS_PER_FULL_ONE = 120

export interface HeadKeeping {
  readonly catalogue: Catalogue
  readonly receipts: ReceiptChain
  /** The file in this process's data folder. */
  readonly receiptHeadsFile: string
}

/** For tests. */
interface Pace {
  readonly looksPerFullOne?: number
  readonly lockPauseMs?: number
}

interface State {
  readonly held: HeldHeads
  /** The name under which this data folder raises alarms; empty until it is known. */
  keeper: string
  /** What the log was told already: instances whose chain is broken, and the file, when it is. */
  readonly told: Set<string>
  failing: boolean
}

interface Round {
  readonly kept: KeptHeads
  readonly seen: string
}

/**
 * The duty of every process with workers, each for its own data folder: keeps the heads of all chains
 * of receipts in a file outside the catalogue, so that the end of a chain cannot be cut off unnoticed.
 * A head there never goes back: when the catalogue does not hold it any more, it stays, and a person
 * is told, again when somebody ended the alarm too early. A file that somebody changed is never written
 * over; one that was taken away is begun anew. After `signal` it looks once more. A lock that is lost is
 * taken again.
 */
export async function keepReceiptHeads(
  needs: HeadKeeping,
  log: Logger,
  signal: AbortSignal,
  { looksPerFullOne = LOOKS_PER_FULL_ONE, lockPauseMs = LOCK_PAUSE_MS }: Pace = {},
): Promise<void> {
  let failing = false
  for (;;) {
    try {
      await using lock = await tryFileLock(headsLockOf(needs.receiptHeadsFile))
      failing = false
      if (lock !== null) {
        await keepHeads(needs, log, { stop: signal, lost: lostSignal(lock) }, looksPerFullOne)
        if (!signal.aborted)
          log.warn('lock on receipt heads lost', { file: needs.receiptHeadsFile })
      }
    } catch (error) {
      if (!failing) log.warn('receipt heads not kept', { problem: describeWithAdvice(error) })
      failing = true
    }
    if (signal.aborted) return
    await rest(lockPauseMs, signal)
  }
}

interface Signals {
  /** The service stops: the heads are looked at once more. */
  readonly stop: AbortSignal
  /** Another process may keep the file from now on: it is not touched any more. */
  readonly lost: AbortSignal
}

/** Aborts when the lock is gone though nobody gave it back. */
function lostSignal({ lost }: FileLock): AbortSignal {
  const gone = new AbortController()
  const abort = () => gone.abort()
  lost.then(abort, abort)
  return gone.signal
}

async function keepHeads(
  needs: HeadKeeping,
  log: Logger,
  { stop, lost }: Signals,
  looksPerFullOne: number,
): Promise<void> {
  const file = needs.receiptHeadsFile
  const held = new HeldHeads(file, needs.receipts)
  const state: State = { held, keeper: '', told: new Set(), failing: false }
  let round: Round | null = null
  const rouse = AbortSignal.any([stop, lost])
  await removeDrafts(file)
  for (let looks = 0; !lost.aborted; looks += 1) {
    const last = stop.aborted
    const full = looks % looksPerFullOne === 0
    try {
      if (state.keeper === '') state.keeper = await nameKeeper(file)
      if (round === null) {
        round = await begin(needs, held, log)
        state.told.clear()
      }
      round = await look(needs, log, round, state, full)
      state.failing = false
    } catch (error) {
      await passOver(needs, log, error, state, full)
    }
    if (last) return
    await rest(LOOK_MS, rouse)
  }
}

/** What a killed process left of a write. */
async function removeDrafts(file: string): Promise<void> {
  const names = await readdir(dirname(file))
  const drafts = names.filter((name) => name.startsWith(basename(file)) && name.endsWith('.draft'))
  for (const draft of drafts) await rm(join(dirname(file), draft), { force: true })
}

/** Goes on with the file, or begins it, empty: from then on a file that is not there was removed. */
async function begin({ catalogue }: HeadKeeping, held: HeldHeads, log: Logger): Promise<Round> {
  const { file } = held
  const found = await held.read()
  if (found !== null) return { kept: found, seen: NOTHING_SEEN }
  const kept: KeptHeads = { began: machineNow(), chains: new Map() }
  const { heads } = await catalogue.transaction((tx) => changedHeads(tx, NOTHING_SEEN))
  await held.write(kept)
  // At the first start there are none; later somebody has taken the file away.
  if (heads.length === 0) log.info('file of receipt heads begun', { file })
  else log.warn('file of receipt heads begun anew', { file, chains: heads.length })
  return { kept, seen: NOTHING_SEEN }
}

/** Null when the file was taken away. */
async function look(
  needs: HeadKeeping,
  log: Logger,
  { kept, seen }: Round,
  state: State,
  full: boolean,
): Promise<Round | null> {
  const { changed, found, real } = await needs.catalogue.snapshot(async (tx) => {
    const heads = await changedHeads(tx, full ? NOTHING_SEEN : seen)
    const asked = full ? [...kept.chains.keys()] : heads.heads.map((head) => head.instanceId)
    const before = await foundHeads(tx, keptOf(kept, asked))
    return { changed: heads, found: before, real: await foundHeads(tx, heads.heads) }
  })
  const chains = new Map(kept.chains)
  let moved = false
  for (const { instanceId, number, hash } of changed.heads) {
    const before = kept.chains.get(instanceId)
    if (before !== undefined && !found.has(instanceId)) continue
    if (before !== undefined && before.number >= number) continue
    // A head that is no receipt must not take the place of the one that was kept.
    if (!real.has(instanceId)) continue
    chains.set(instanceId, { number, hash })
    moved = true
  }
  await tellBreaks(needs, log, kept, { heads: changed.heads, found, real }, state, full)
  if (!moved && !full) return { kept, seen: changed.seen }
  // Whoever moves the file away while the service runs wants it begun anew.
  if (!(await state.held.isThere())) return null
  state.told.delete(state.held.file)
  if (moved) await state.held.write({ began: kept.began, chains })
  return { kept: { began: kept.began, chains }, seen: changed.seen }
}

/** What one look at the catalogue has shown. */
interface Seen {
  /** Those of the catalogue that have changed. */
  readonly heads: readonly ReceiptHead[]
  /** Chains that have the receipt whose head was kept. */
  readonly found: ReadonlySet<InstanceId>
  /** Chains whose changed head is a receipt of theirs. */
  readonly real: ReadonlySet<InstanceId>
}

async function tellBreaks(
  needs: HeadKeeping,
  log: Logger,
  kept: KeptHeads,
  { heads, found, real }: Seen,
  state: State,
  full: boolean,
): Promise<void> {
  const changed = new Map(heads.map((head) => [head.instanceId, head]))
  for (const instanceId of new Set([...(full ? kept.chains.keys() : []), ...changed.keys()])) {
    const [before, head] = [kept.chains.get(instanceId), changed.get(instanceId)]
    if (before !== undefined && !found.has(instanceId)) {
      const where = `in ${state.held.file} on ${hostname()}`
      const problem = `the catalogue has no receipt ${before.number} with the hash that is kept outside it, ${where}`
      await tellBroken(needs, log, instanceId, problem, state, full)
    } else if (head !== undefined && !real.has(instanceId)) {
      const problem = `the chain's head is no receipt: number ${head.number}`
      await tellBroken(needs, log, instanceId, problem, state, full)
    } else state.told.delete(instanceId)
  }
}

function keptOf(kept: KeptHeads, instanceIds: readonly InstanceId[]): readonly ReceiptHead[] {
  return instanceIds.flatMap((instanceId) => {
    const head = kept.chains.get(instanceId)
    return head === undefined ? [] : [{ instanceId, ...head }]
  })
}

async function tellBroken(
  needs: HeadKeeping,
  log: Logger,
  instanceId: InstanceId,
  problem: string,
  { keeper, told }: State,
  full: boolean,
): Promise<void> {
  if (told.has(instanceId) && !full) return
  const news = await raise(needs, instanceId, alarmSubject(instanceId, keeper), problem)
  if (news || !told.has(instanceId)) log.error('receipts broken', { instanceId, problem })
  told.add(instanceId)
}

/**
 * What fails is tried again at the next look: the catalogue may start again, the disk may be full.
 * A file that somebody changed stays as it is until a person moves it away.
 */
async function passOver(
  needs: HeadKeeping,
  log: Logger,
  error: unknown,
  state: State,
  full: boolean,
): Promise<void> {
  const { file } = state.held
  const problem = describeWithAdvice(error)
  if (!isFault(error, 'corrupt', 'unfit')) {
    if (!state.failing) log.warn('receipt heads not kept', { problem })
    state.failing = true
    return
  }
  if (state.told.has(file) && !full) return
  if (!state.told.has(file)) log.error('receipts broken', { file, problem })
  const subject = alarmSubject(basename(file), state.keeper)
  const said = `${problem} (on ${hostname()})`
  await raise(needs, null, subject, said).catch((failure: unknown) => {
    log.warn('receipt heads not kept', { problem: describeError(failure) })
  })
  state.told.add(file)
}

/** True when it was news: not said before, or ended since. */
async function raise(
  { catalogue }: HeadKeeping,
  instanceId: InstanceId | null,
  subject: string,
  problem: string,
): Promise<boolean> {
  const event = { kind: 'receipts-broken', instanceId, details: { problem } } as const
  return catalogue.transaction((tx) => raiseAgain(tx, subject, event))
}
