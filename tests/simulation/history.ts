import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Instant, machineNow } from '../../src/base/clock.ts'
import { isFault } from '../../src/base/fault.ts'
import type { TreeEntry } from '../../src/base/file-tree.ts'
import type { BackupSetId, InstanceId, JobId } from '../../src/base/ids.ts'
import { newInstanceId } from '../../src/base/ids.ts'
import { SILENT } from '../../src/base/logger.ts'
import type { Catalogue, Transaction } from '../../src/catalogue/database.ts'
import { deleteSets, purgeNext } from '../../src/catalogue/deletions.ts'
import { insertInstance, lockInstance } from '../../src/catalogue/instances.ts'
import { beginAttempt, fence, finishJob, insertJob } from '../../src/catalogue/jobs.ts'
import { pinSet, releasePins } from '../../src/catalogue/pins.ts'
import { beginSet, failSet, recordSealed } from '../../src/catalogue/series.ts'
import type { Run, WorkerParts } from '../../src/jobs/job.ts'
import { purgeSets } from '../../src/jobs/purge-sets.ts'
import { verifyRepository } from '../../src/jobs/verify-repository.ts'
import type { Repository } from '../../src/repository/repository.ts'
import type { NewSet, SealedSet, StoredSet } from '../../src/series/series.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { testChain } from '../../src/testing/receipt-parts.ts'

/** The database that is backed up: files by path; a directory for each parent. */
export type Files = ReadonlyMap<string, Uint8Array>

export interface Made {
  readonly set: NewSet
  readonly files: Files
  readonly sealed: SealedSet
  readonly jobId: JobId
  readonly attempt: { readonly jobId: JobId; readonly number: number }
  state: 'writing' | 'kept' | 'deleted' | 'purged' | 'failed'
}

export interface HistoryParts {
  readonly catalogue: Catalogue
  readonly storage: Storage
  readonly repository: Repository
  readonly storageDirectory: string
}

const NEVER = new AbortController().signal

/**
 * Runs begin, record, fail, delete, purge and reclaim one by one on a real catalogue and a real
 * directory, in any order, and keeps a plain model beside them: what each set must restore to.
 */
export class History {
  readonly parts: HistoryParts
  readonly instanceId: InstanceId
  readonly made: Made[] = []
  files = new Map<string, Uint8Array>()
  /** Σ of what the purges decided since the last reclaim said would come back. */
  #promised = 0
  readonly #holders: string[] = []

  private constructor(parts: HistoryParts, instanceId: InstanceId) {
    this.parts = parts
    this.instanceId = instanceId
  }

  static async start(parts: HistoryParts): Promise<History> {
    const id = newInstanceId()
    await parts.catalogue.transaction((tx) =>
      insertInstance(tx, {
        id,
        engine: 'PostgreSQL',
        engineVersion: '18',
        category: 'HighAvailability',
        type: 'Primary',
        origin: 'local',
        masterId: null,
        deletionProtection: false,
        releasedKeepPolicy: null,
        maxRateKib: null,
        description: '',
        createdAt: machineNow(),
        token: null,
      }),
    )
    return new History(parts, id)
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
    const made: Made = { ...begun, files, sealed, jobId: begun.attempt.jobId, state: 'writing' }
    this.made.push(made)
    return made
  }

  async #beginSet(tx: Transaction) {
    const now = machineNow()
    await lockInstance(tx, this.instanceId)
    const request = {
      kind: 'take-backup',
      instanceId: this.instanceId,
      parameters: { mode: 'Manual' },
      requestId: null,
    } as const
    const taken = await beginAttempt(tx, await insertJob(tx, request, now))
    assert.ok(taken)
    const { attempt } = taken
    return { attempt, set: await beginSet(tx, this.instanceId, attempt, 'Manual', now) }
  }

  async record(made: Made): Promise<void> {
    await this.#end(made, 'finished', (tx) =>
      recordSealed(tx, made.sealed, {
        finishedAt: machineNow(),
        consistentAt: machineNow(),
        node: 'n',
        engineVersion: '18',
      }),
    )
    made.state = 'kept'
  }

  async fail(made: Made): Promise<void> {
    await this.#end(made, 'failed', (tx) => failSet(tx, made.set, 'asked to', machineNow()))
    made.state = 'failed'
  }

  async #end(made: Made, state: 'finished' | 'failed', work: (tx: Transaction) => Promise<void>) {
    await this.parts.catalogue.transaction(async (tx) => {
      await fence(tx, made.attempt)
      await lockInstance(tx, this.instanceId)
      await work(tx)
      const outcome = state === 'failed' ? { state, cause: 'asked to' } : { state }
      await finishJob(tx, made.attempt, outcome, machineNow())
    })
  }

  async delete(sets: readonly Made[]) {
    const forecast = await this.parts.catalogue.transaction(async (tx) => {
      await lockInstance(tx, this.instanceId)
      return deleteSets(
        tx,
        this.instanceId,
        sets.map((made) => made.set.setId as BackupSetId),
        {
          cause: 'by-hand',
          requestId: 'r',
          actor: { accessKeyId: 'k', user: 'u', address: 'a' },
          deletedAt: machineNow(),
          purgeAfter: machineNow(),
        },
      )
    })
    for (const made of sets) made.state = 'deleted'
    return forecast
  }

  /** Decides everything that is due; gives the decisions in their order. */
  async purge() {
    const decided = []
    for (;;) {
      const next = await this.parts.catalogue.transaction(async (tx) => {
        await lockInstance(tx, this.instanceId)
        return purgeNext(tx, this.instanceId, (machineNow() + 1000) as Instant)
      })
      if (!next) return decided
      decided.push(next)
      this.#promised += next.freedBytes
      for (const made of this.made) {
        if (next.setIds.includes(made.set.setId)) made.state = 'purged'
      }
    }
  }

  /** Gives the bytes back; exactly what the decisions said, to the byte. */
  async reclaim(): Promise<void> {
    const before = await this.storedBytes()
    const abandoned = await this.#abandonedBytes()
    await this.runReclaim(NEVER)
    assert.equal(before - (await this.storedBytes()), this.#promised + abandoned)
    this.#promised = 0
  }

  /** The job itself, on a run of this test's. */
  async runReclaim(signal: AbortSignal, repository = this.parts.repository): Promise<void> {
    const { catalogue } = this.parts
    const run = {
      instanceId: this.instanceId,
      signal,
      log: SILENT,
      report: () => {},
      transaction: catalogue.transaction,
      end: (_outcome: unknown, work: (tx: Transaction) => Promise<unknown>) =>
        catalogue.transaction(work),
    } as unknown as Run
    // A clock that has not come to the deletions decides nothing: only the reclaim is run.
    const clock = { now: () => 0 as Instant }
    const parts = { catalogue, repository, clock, receipts: testChain() }
    await purgeSets({}, run, parts as unknown as WorkerParts)
  }

  /** As a restore does: the set may be deleted, but its bytes stay until it is let go. */
  async pin(made: Made): Promise<void> {
    const holder = `history-${made.set.series}-${this.#holders.length}`
    this.#holders.push(holder)
    await this.parts.catalogue.transaction((tx) => pinSet(tx, made.set, 'restore', holder))
  }

  async unpinAll(): Promise<void> {
    for (const holder of this.#holders) {
      await this.parts.catalogue.transaction((tx) => releasePins(tx, holder))
    }
  }

  /** A reclaim that is killed at its first rewrite, half way: a draft and an intent are left. */
  async killReclaim(): Promise<void> {
    const killing: Repository = {
      ...this.parts.repository,
      rewritePack: async ({ to }) => {
        const path = join(this.parts.storageDirectory, `${to.object}~killed`)
        await mkdir(dirname(path), { recursive: true })
        await writeFile(path, 'half')
        throw new Error('killed')
      },
    }
    const [before, abandoned] = [await this.storedBytes(), await this.#abandonedBytes()]
    await this.runReclaim(NEVER, killing).catch((error: unknown) => {
      if (!(error instanceof Error && error.message === 'killed')) throw error
    })
    const unpromised = abandoned - (await this.#abandonedBytes())
    this.#promised -= before - (await this.storedBytes()) - unpromised
  }

  async storedBytes(): Promise<number> {
    let total = 0
    for await (const { name, sizeBytes } of this.parts.storage.list('series/', NEVER)) {
      if (name.startsWith(`series/${this.#series}/`)) total += sizeBytes
    }
    return total
  }

  get #series(): number {
    return this.made[0]?.set.series ?? 0
  }

  /** Objects of failed attempts: they go whole, and no purge has promised them. */
  async #abandonedBytes(): Promise<number> {
    let total = 0
    for (const { set, state } of this.made) {
      if (state !== 'failed') continue
      const prefix = `series/${set.series}/${set.number}/`
      for await (const { sizeBytes } of this.parts.storage.list(prefix, NEVER)) total += sizeBytes
    }
    return total
  }

  /** Catalogue, storage and mark and sweep agree. */
  async check(): Promise<void> {
    const { storage, catalogue, repository } = this.parts
    const needs = { catalogue, repository }
    const listStorage = () => storage.list('', NEVER)
    const listUnfinished = () => storage.listUnfinished(NEVER)
    const asked = { ...needs, listStorage, listUnfinished }
    const { problems } = await verifyRepository(asked, true, NEVER)
    // What is being written, or failed a moment ago, is known to the catalogue only as intended.
    assert.deepEqual(problems, [])
  }

  /** Every set that is kept restores byte for byte. */
  async restoreAll(): Promise<void> {
    for (const made of this.made) if (made.state === 'kept') await this.restore(made)
  }

  async restore(made: Made): Promise<void> {
    const reader = await this.parts.repository.readSet(made.sealed.stored as StoredSet, NEVER)
    const restored = new Map<string, Uint8Array>()
    for await (const entry of reader.entries(NEVER)) {
      if (entry.kind !== 'file') continue
      const pieces: Uint8Array[] = []
      for await (const piece of entry.content) pieces.push(piece)
      restored.set(entry.path, Buffer.concat(pieces))
    }
    assert.deepEqual([...restored.keys()].sort(), [...made.files.keys()].sort())
    for (const [path, bytes] of made.files) {
      assert.ok(Buffer.from(bytes).equals(restored.get(path) ?? Buffer.alloc(0)), `${path} differs`)
    }
  }
}

function* entriesOf(files: Files): Iterable<TreeEntry> {
  const folders = new Set<string>()
  for (const path of files.keys()) {
    const parts = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth += 1) {
      folders.add(parts.slice(0, depth).join('/'))
    }
  }
  for (const path of [...folders].sort()) yield { kind: 'directory', path, mode: 0o700 }
  for (const [path, bytes] of files) {
    yield { kind: 'file', path, mode: 0o600, content: pieces(bytes) }
  }
}

async function* pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += 50_000) {
    yield bytes.subarray(offset, offset + 50_000)
  }
}
