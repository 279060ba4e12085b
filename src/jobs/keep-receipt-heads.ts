import { access, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { machineNow, rest } from '../base/clock.ts'
import { describeError, describeWithAdvice, isFault } from '../base/fault.ts'
import { type FileLock, tryFileLock } from '../base/file-lock.ts'
import type { InstanceId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { ReceiptChain } from '../base/receipt-chain.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { raiseAlarm } from '../catalogue/events.ts'
import { changedHeads, foundHeads, NOTHING_SEEN, type ReceiptHead } from '../catalogue/receipts.ts'
import type { ChainEnd } from '../domain/receipt-check.ts'
import { type KeptHeads, readHeadsFile, writeHeadsFile } from './receipt-heads-file.ts'

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

/** What the log was told already. */
interface State {
  /** Instances whose chain is broken, and the file, when it is. */
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
 * is told. After `signal` it looks once more.
 */
export async function keepReceiptHeads(
  needs: HeadKeeping,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  // Of several processes on one data folder one keeps the file, until it ends, however it ends.
  const lockFile = `${needs.receiptHeadsFile}.lock`
  for (let lock = await tryFileLock(lockFile); ; lock = await tryFileLock(lockFile)) {
    if (lock !== null) {
      await using held = lock
      return await keepHeads(needs, log, AbortSignal.any([signal, lostSignal(held)]))
    }
    await rest(LOCK_PAUSE_MS, signal)
    if (signal.aborted) return
  }
}

/** Aborts when the lock is gone though nobody gave it back. */
function lostSignal({ lost }: FileLock): AbortSignal {
  const gone = new AbortController()
  const abort = () => gone.abort()
  lost.then(abort, abort)
  return gone.signal
}

async function keepHeads(needs: HeadKeeping, log: Logger, signal: AbortSignal): Promise<void> {
  const state: State = { told: new Set(), failing: false }
  const file = needs.receiptHeadsFile
  let round: Round | null = null
  await removeDrafts(file)
  for (let looks = 0; ; looks += 1) {
    const last = signal.aborted
    const full = looks % LOOKS_PER_FULL_ONE === 0
    try {
      // Whoever moves the file away while the service runs wants it begun anew.
      if (round === null || (full && !(await isThere(file)))) {
        round = await begin(needs, log)
        state.told.delete(file)
      }
      round = await look(needs, log, round, state, full)
      state.failing = false
    } catch (error) {
      await passOver(needs, log, error, state)
    }
    if (last) return
    await rest(LOOK_MS, signal)
  }
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

/** What a killed process left of a write. */
async function removeDrafts(file: string): Promise<void> {
  const names = await readdir(dirname(file))
  const drafts = names.filter((name) => name.startsWith(basename(file)) && name.endsWith('.draft'))
  for (const draft of drafts) await rm(join(dirname(file), draft), { force: true })
}

/** Goes on with the file, or begins it, empty: from then on a file that is not there was removed. */
async function begin(needs: HeadKeeping, log: Logger): Promise<Round> {
  const { receipts, receiptHeadsFile: file } = needs
  const found = await readHeadsFile(file, receipts)
  if (found !== null) return { kept: found, seen: NOTHING_SEEN }
  const kept: KeptHeads = { began: machineNow(), chains: new Map() }
  const { heads } = await needs.catalogue.transaction((tx) => changedHeads(tx, NOTHING_SEEN))
  await writeHeadsFile(file, receipts, kept)
  // At the first start there are none; later somebody has taken the file away.
  if (heads.length === 0) log.info('file of receipt heads begun', { file })
  else log.warn('file of receipt heads begun anew', { file, chains: heads.length })
  return { kept, seen: NOTHING_SEEN }
}

async function look(
  needs: HeadKeeping,
  log: Logger,
  { kept, seen }: Round,
  { told }: State,
  full: boolean,
): Promise<Round> {
  const { changed, found } = await needs.catalogue.transaction(async (tx) => {
    const heads = await changedHeads(tx, full ? NOTHING_SEEN : seen)
    const asked = full ? [...kept.chains.keys()] : heads.heads.map((head) => head.instanceId)
    return { changed: heads, found: await foundHeads(tx, keptOf(kept, asked)) }
  })
  const chains = new Map(kept.chains)
  let moved = false
  for (const { instanceId, number, hash } of changed.heads) {
    const before = kept.chains.get(instanceId)
    if (before !== undefined && !found.has(instanceId)) continue
    if (before !== undefined && before.number >= number) continue
    chains.set(instanceId, { number, hash })
    moved = true
  }
  const held = { began: kept.began, chains }
  if (moved) await writeHeadsFile(needs.receiptHeadsFile, needs.receipts, held)
  const asked = full ? kept.chains.keys() : changed.heads.map((head) => head.instanceId)
  for (const instanceId of asked) {
    const before = kept.chains.get(instanceId)
    if (before === undefined || found.has(instanceId)) told.delete(instanceId)
    else await tellBroken(needs, log, instanceId, before, told)
  }
  return { kept: held, seen: changed.seen }
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
  { number }: ChainEnd,
  told: Set<string>,
): Promise<void> {
  if (told.has(instanceId)) return
  const problem = `the catalogue has no receipt ${number} with the hash that is kept outside it`
  log.error('receipts broken', { instanceId, problem })
  await raise(needs, instanceId, instanceId, problem)
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
): Promise<void> {
  const file = needs.receiptHeadsFile
  const problem = describeWithAdvice(error)
  if (!isFault(error, 'corrupt', 'unfit')) {
    if (!state.failing) log.warn('receipt heads not kept', { problem })
    state.failing = true
    return
  }
  if (state.told.has(file)) return
  log.error('receipts broken', { file, problem })
  await raise(needs, null, basename(file), problem).catch((failure: unknown) => {
    log.warn('receipt heads not kept', { problem: describeError(failure) })
  })
  state.told.add(file)
}

async function raise(
  { catalogue }: HeadKeeping,
  instanceId: InstanceId | null,
  subject: string,
  problem: string,
): Promise<void> {
  const event = { kind: 'receipts-broken', instanceId, details: { problem } } as const
  await catalogue.transaction((tx) => raiseAlarm(tx, subject, event))
}
