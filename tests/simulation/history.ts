import assert from 'node:assert/strict'
import { DAY_MS, type Instant, instant } from '../../src/base/clock.ts'
import { isFault } from '../../src/base/fault.ts'
import type { BackupSetId, HoldId, InstanceId, JobId } from '../../src/base/ids.ts'
import { SILENT } from '../../src/base/logger.ts'
import { statesOfSets } from '../../src/catalogue/backup-sets.ts'
import type { Transaction } from '../../src/catalogue/database.ts'
import { deleteSets, endWindows, purgeNext, undeleteSets } from '../../src/catalogue/deletions.ts'
import type { DecidedPurge } from '../../src/catalogue/endings.ts'
import { type Forecast, forecastDeletion } from '../../src/catalogue/forecast.ts'
import { insertHold, releaseHold } from '../../src/catalogue/holds.ts'
import { lockInstance } from '../../src/catalogue/instances.ts'
import { beginAttempt, fence, finishJob, insertJob } from '../../src/catalogue/jobs.ts'
import { pinSet, releasePins } from '../../src/catalogue/pins.ts'
import type { FinishedPurge } from '../../src/catalogue/reclaim.ts'
import { beginSet, failSet, recordSealed } from '../../src/catalogue/series.ts'
import type { ReleasedKeepPolicy } from '../../src/domain/instance.ts'
import { expireSets } from '../../src/jobs/expire-sets.ts'
import type { Run, WorkerParts } from '../../src/jobs/job.ts'
import { purgeSets } from '../../src/jobs/purge-sets.ts'
import { removeInstanceJob } from '../../src/jobs/remove-instance.ts'
import { verifyRepository } from '../../src/jobs/verify-repository.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { makeTestInstance } from '../../src/testing/catalogue-sets.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { testChain } from '../../src/testing/receipt-parts.ts'
import { checkSetFigures, checkUsage } from './history-figures.ts'
import { entriesOf, readFiles, usedBy } from './history-files.ts'
import { idsOf, type Made, markAndSweep, nextPurge } from './history-model.ts'
import type { HistoryParts } from './history-parts.ts'
import { Killed, sizesOf } from './history-storage.ts'

const NEVER = new AbortController().signal
const START = instant(2_000_000_000_000)
const ACTOR = { accessKeyId: 'k', user: 'u', address: 'a' }

/**
 * Runs begin, record, fail, delete, undelete, hold, expire, purge, reclaim and the instance's removal
 * one by one on a real catalogue and a real directory, in any order, and keeps a plain model beside
 * them: what each set must restore to, what it uses, and what has been promised and given back.
 */
export class History {
  readonly parts: HistoryParts
  readonly instanceId: InstanceId
  readonly clock = new ManualClock(START)
  readonly made: Made[] = []
  files = new Map<string, Uint8Array>()
  /** Σ of all purges: what their decisions said, and what they were found to have given back. */
  #released = 0
  #promised = 0
  #reclaimed = 0
  /** Σ of what the storage has lost, failed attempts apart. */
  #lost = 0
  #deletions = 0
  readonly #pins = new Map<string, Made>()
  readonly #holds = new Map<HoldId, Made>()

  private constructor(parts: HistoryParts, instanceId: InstanceId) {
    this.parts = parts
    this.instanceId = instanceId
  }

  static async start(parts: HistoryParts): Promise<History> {
    const id = await makeTestInstance(parts.catalogue, START)
    return new History(parts, id)
  }

  get now(): Instant {
    return this.clock.now()
  }

  of(state: Made['state']): readonly Made[] {
    return this.made.filter((made) => made.state === state)
  }

  /** Begins a set and writes everything of it, as the files are now; null when R1 refuses it. */
  async begin(): Promise<Made | null> {
    const { catalogue, repository } = this.parts
    const begun = await catalogue
      .transaction((tx) => this.#beginSet(tx))
      .catch((error: unknown) => {
        if (isFault(error, 'exists')) return null
        throw error
      })
    if (!begun) return null
    const files = new Map(this.files)
    await using writer = await repository.writeSet(begun.set, NEVER)
    for (const entry of entriesOf(files)) await writer.add(entry, NEVER)
    const sealed = await writer.seal(Buffer.from('{}'), NEVER)
    const times = { finishedAt: START, purgeAfter: START }
    const made: Made = {
      ...{ ...begun, ...times, files, sealed },
      ...{ state: 'writing', deletion: 0, held: false, uses: new Map() },
    }
    this.made.push(made)
    return made
  }

  async #beginSet(tx: Transaction) {
    await lockInstance(tx, this.instanceId)
    const request = {
      kind: 'take-backup',
      instanceId: this.instanceId,
      parameters: { mode: 'Manual' },
      requestId: null,
    } as const
    const taken = await beginAttempt(tx, await insertJob(tx, request, this.now))
    assert.ok(taken)
    const { attempt } = taken
    return { attempt, set: await beginSet(tx, this.instanceId, attempt, 'Manual', this.now) }
  }

  async record(made: Made): Promise<void> {
    await this.#end(made, 'finished', (tx) =>
      recordSealed(tx, made.sealed, {
        finishedAt: this.now,
        consistentAt: this.now,
        node: 'n',
        engineVersion: '18',
      }),
    )
    made.state = 'kept'
    made.finishedAt = this.now
    made.uses = await usedBy(this.parts.repository, made.sealed.stored)
  }

  async fail(made: Made): Promise<void> {
    await this.#end(made, 'failed', (tx) => failSet(tx, made.set, 'asked to', this.now))
    made.state = 'failed'
  }

  async #end(made: Made, state: 'finished' | 'failed', work: (tx: Transaction) => Promise<void>) {
    const attempt = { ...made.attempt, jobId: made.attempt.jobId as JobId }
    await this.parts.catalogue.transaction(async (tx) => {
      await fence(tx, attempt)
      await lockInstance(tx, this.instanceId)
      await work(tx)
      const outcome = state === 'failed' ? { state, cause: 'asked to' } : { state }
      await finishJob(tx, attempt, outcome, this.now)
    })
  }

  /** In one transaction under the instance's lock, as every change of it. */
  #locked<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.parts.catalogue.transaction(async (tx) => {
      await lockInstance(tx, this.instanceId)
      return work(tx)
    })
  }

  /** One deletion of kept sets, which can be brought back for so long. */
  async delete(sets: readonly Made[], windowMs = 0): Promise<Forecast> {
    const purgeAfter = instant(this.now + windowMs)
    const record = { cause: 'by-hand', requestId: 'r', actor: ACTOR } as const
    const forecast = await this.#locked((tx) =>
      deleteSets(tx, this.instanceId, idsOf(sets), { ...record, deletedAt: this.now, purgeAfter }),
    )
    this.#deleted(sets, purgeAfter)
    return forecast
  }

  #deleted(sets: readonly Made[], purgeAfter: Instant): void {
    this.#deletions += 1
    for (const made of sets) {
      Object.assign(made, { state: 'deleted', deletion: this.#deletions, purgeAfter })
    }
  }

  async undelete(sets: readonly Made[]): Promise<void> {
    await this.#locked((tx) => undeleteSets(tx, this.instanceId, idsOf(sets), this.now))
    for (const made of sets) made.state = 'kept'
  }

  /** Ends the windows of deleted sets now; what PurgeDeletedBackup foretells. */
  async endWindows(sets: readonly Made[]): Promise<Forecast> {
    const ids = idsOf(sets)
    const forecast = await this.#locked(async (tx) => {
      const foretold = await forecastDeletion(tx, this.instanceId, ids, this.now)
      await endWindows(tx, this.instanceId, ids)
      return foretold
    })
    for (const made of sets) made.purgeAfter = this.now
    return forecast
  }

  async hold(made: Made): Promise<void> {
    const hold = { setId: made.set.setId as BackupSetId, instanceId: this.instanceId, reason: 'r' }
    const who = { ...ACTOR, heldAt: this.now, until: null }
    const id = await this.#locked((tx) => insertHold(tx, { ...hold, ...who }))
    this.#holds.set(id, made)
    made.held = true
  }

  async releaseHolds(): Promise<void> {
    for (const [id, made] of this.#holds) {
      assert.ok(await this.#locked((tx) => releaseHold(tx, this.instanceId, id, this.now)))
      made.held = false
    }
    this.#holds.clear()
  }

  /** The duty itself: what is beyond its retention goes, and nothing that a rule keeps. */
  async expire(undeleteWindowMs: number): Promise<readonly Made[]> {
    const newest = this.of('kept').at(-1)
    await expireSets(this.#needs(undeleteWindowMs), SILENT, NEVER)
    const gone = await this.#takeDeleted(undeleteWindowMs)
    for (const made of gone) {
      assert.ok(!made.held && !this.#isPinned(made), 'what is held or read does not expire')
      assert.ok(this.now - made.finishedAt > 7 * DAY_MS, 'it was kept for its retention')
      assert.notEqual(made, newest, 'the newest good set does not expire')
    }
    return gone
  }

  #needs(undeleteWindowMs: number): WorkerParts {
    const parts = { catalogue: this.parts.catalogue, queue: QUEUE, clock: this.clock }
    const others = { receipts: testChain(), undeleteWindowMs, engines: { PostgreSQL: {} } }
    return { ...parts, ...others } as unknown as WorkerParts
  }

  /** The job itself; the deleted sets are purged when their window is over. */
  async removeInstance(keep: ReleasedKeepPolicy, undeleteWindowMs: number): Promise<void> {
    const kept = this.of('kept')
    const asked = { keep, actor: ACTOR }
    await removeInstanceJob(asked, this.#run([]), this.#needs(undeleteWindowMs))
    const gone = await this.#takeDeleted(undeleteWindowMs)
    const count = { None: 0, Lastest: 1, All: kept.length }[keep]
    const unkept = count === 0 ? kept : kept.slice(0, -count)
    assert.deepEqual(
      gone,
      unkept.filter((made) => !made.held),
    )
  }

  /** Kept sets that somebody else has deleted meanwhile, in one deletion. */
  async #takeDeleted(windowMs: number): Promise<readonly Made[]> {
    const kept = this.of('kept')
    const states = await this.parts.catalogue.transaction((tx) =>
      statesOfSets(tx, this.instanceId, idsOf(kept)),
    )
    const gone = kept.filter(({ set }) => states.get(set.setId as BackupSetId)?.state === 'deleted')
    if (gone.length > 0) this.#deleted(gone, instant(this.now + windowMs))
    return gone
  }

  /** Decides everything that is due; gives the decisions in their order. */
  async purge(): Promise<readonly DecidedPurge[]> {
    const decided: DecidedPurge[] = []
    for (;;) {
      const group = nextPurge(this.made, (made) => this.#isPinned(made), this.now)
      const next = await this.#locked(async (tx) => {
        const ids = idsOf(group)
        const foretold = await forecastDeletion(tx, this.instanceId, ids, this.now)
        const purged = await purgeNext(tx, this.instanceId, this.now)
        if (purged && foretold.exact) assert.deepEqual(bytesOf(purged), bytesOf(foretold))
        return purged
      })
      assert.deepEqual([...(next?.setIds ?? [])].sort(), idsOf(group).sort(), 'in their turn')
      if (!next) return decided
      for (const made of group) made.state = 'purged'
      const staying = [...this.of('kept'), ...this.of('deleted')]
      assert.equal(next.releasedBytes, markAndSweep(group, staying), 'released = mark and sweep')
      this.#released += next.releasedBytes
      this.#promised += next.freedBytes
      decided.push(next)
    }
  }

  /**
   * Gives the bytes back: predicted = what the purges are found to have given back = the change of Σ
   * st_size, to the byte; and the catalogue's figures are those of the storage.
   */
  async reclaim(): Promise<void> {
    const finished = await this.#measureLoss((found) => this.runReclaim(NEVER, undefined, found))
    for (const purge of finished) {
      assert.equal(purge.reclaimedBytes, purge.freedBytes, 'given back = predicted')
      this.#reclaimed += purge.reclaimedBytes
    }
    const totals = [this.#promised, this.#reclaimed, this.#lost]
    assert.deepEqual(totals, [this.#promised, this.#promised, this.#promised])
    await checkUsage(this, { releasedBytes: this.#released, freedBytes: this.#reclaimed })
  }

  /** A reclaim that is killed, if it comes to where it would be. */
  async killReclaim(killed: Repository): Promise<void> {
    const finished = await this.#measureLoss((found) =>
      this.runReclaim(NEVER, killed, found).catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error
      }),
    )
    for (const { reclaimedBytes } of finished) this.#reclaimed += reclaimedBytes
  }

  async #measureLoss(
    work: (finished: FinishedPurge[]) => Promise<void>,
  ): Promise<readonly FinishedPurge[]> {
    const finished: FinishedPurge[] = []
    const before = await this.sizes()
    await work(finished)
    const after = await this.sizes()
    this.#lost += before.total - before.failed - (after.total - after.failed)
    return finished
  }

  /** The job itself, on a run of this test's. */
  async runReclaim(
    signal: AbortSignal,
    repository = this.parts.repository,
    finished: FinishedPurge[] = [],
  ): Promise<void> {
    const { catalogue } = this.parts
    // A clock that has not come to the deletions decides nothing: only the reclaim is run.
    const clock = { now: () => -1 as Instant }
    const parts = { catalogue, repository, clock, receipts: testChain() }
    await purgeSets({}, this.#run(finished, signal), parts as unknown as WorkerParts)
  }

  #run(finished: FinishedPurge[], signal = NEVER): Run {
    const { catalogue } = this.parts
    const run = {
      ...{ instanceId: this.instanceId, signal, log: SILENT, requestId: null },
      report: () => {},
      transaction: catalogue.transaction,
      end: async (_outcome: unknown, work: (tx: Transaction) => Promise<unknown>) => {
        const ended = await catalogue.transaction(work)
        if (Array.isArray(ended)) finished.push(...(ended as FinishedPurge[]))
        return ended
      },
    }
    return run as unknown as Run
  }

  /** As a restore does: the set may be deleted, but its bytes stay until it is let go. */
  async pin(made: Made): Promise<void> {
    const holder = `history-${made.set.series}-${this.#pins.size}`
    this.#pins.set(holder, made)
    await this.parts.catalogue.transaction((tx) => pinSet(tx, made.set, 'restore', holder))
  }

  async unpinAll(): Promise<void> {
    for (const holder of this.#pins.keys()) {
      await this.parts.catalogue.transaction((tx) => releasePins(tx, holder))
    }
    this.#pins.clear()
  }

  #isPinned(made: Made): boolean {
    const [writing] = this.of('writing')
    return writing?.set.base?.number === made.set.number || [...this.#pins.values()].includes(made)
  }

  sizes() {
    return sizesOf(this.parts.storage, this.made[0]?.set.series ?? 0, this.made)
  }

  async storedBytes(): Promise<number> {
    return (await this.sizes()).total
  }

  /** Catalogue, storage and mark and sweep agree; with `reading`, every stored byte is as written. */
  async check(reading = true): Promise<void> {
    const { storage, catalogue, repository } = this.parts
    const listStorage = () => storage.list('', NEVER)
    const listUnfinished = () => storage.listUnfinished(NEVER)
    const needs = { catalogue, repository, listStorage, listUnfinished }
    const { problems } = await verifyRepository(needs, reading, NEVER)
    // What is being written, or failed a moment ago, is known to the catalogue only as intended.
    assert.deepEqual(problems, [])
  }

  /** What is said of each kept set, deleted now with such a window. */
  checkSets(windowMs: number): Promise<void> {
    return checkSetFigures(this, instant(this.now + windowMs))
  }

  /** Every set that is kept restores byte for byte. */
  async restoreAll(): Promise<void> {
    for (const made of this.of('kept')) await this.restore(made)
  }

  async restore(made: Made): Promise<void> {
    const restored = await readFiles(this.parts.repository, made.sealed.stored)
    assert.deepEqual([...restored.keys()].sort(), [...made.files.keys()].sort())
    for (const [path, bytes] of made.files) {
      assert.ok(Buffer.from(bytes).equals(restored.get(path) ?? Buffer.alloc(0)), `${path} differs`)
    }
  }
}

/** The history decides itself when purges are run. */
const QUEUE = { enqueue: async () => {} }

function bytesOf({ releasedBytes, freedBytes }: Pick<Forecast, 'releasedBytes' | 'freedBytes'>) {
  return { releasedBytes, freedBytes }
}
