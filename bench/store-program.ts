import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Secret } from '../src/base/secret.ts'
import { NO_TLS } from '../src/base/tls-settings.ts'
import { writeTree } from '../src/base/tree-writer.ts'
import type { SealedSet } from '../src/series/series.ts'
import { LocalPostgres } from '../src/testing/local-postgres.ts'
import type { TestRepository } from '../src/testing/open-test-repository.ts'
import { openTestRepository } from '../src/testing/open-test-repository.ts'
import { directoryTree } from './directory-tree.ts'
import type { Reclaimed } from './kept-series.ts'
import { KeptSeries } from './kept-series.ts'
import type { Cost } from './measured.ts'
import { measured } from './measured.ts'

/** What the program is asked for, one thing after the other; sets are numbered from 1. */
export type StoreRequest =
  /** Stores what is in a directory as the next set. */
  | { readonly act: 'store'; readonly from: string }
  /** Takes the next set from a server, through the engine. */
  | {
      readonly act: 'backup'
      readonly port: number
      readonly user: string
      readonly password: string
    }
  /** Writes a set into a directory; `verify`: as the restore command does, against its manifest. */
  | {
      readonly act: 'restore'
      readonly number: number
      readonly into: string
      readonly verify: boolean
    }
  | { readonly act: 'end'; readonly numbers: readonly number[] }
  | { readonly act: 'stop' }

export interface StoredFacts {
  readonly chunkBytes: number
  readonly contentBytes: number
  /** Data as stored, with its index rows. */
  readonly dataBytes: number
  /** Maps, lists and the manifest. */
  readonly mapBytes: number
}

export type StoreReply =
  | {
      readonly cost: Cost
      readonly stored: StoredFacts | null
      readonly reclaimed: Reclaimed | null
    }
  | { readonly failure: string }

/** The byte of a pack's header that tells its kind, and the kind of contents. */
const KIND_AT = 12
const KIND_DATA = 1
const { signal } = new AbortController()

async function takeFrom(
  postgres: LocalPostgres,
  series: KeptSeries,
  { port, user, password }: Extract<StoreRequest, { act: 'backup' }>,
): Promise<SealedSet> {
  const endpoint = {
    role: 'primary',
    node: 'primary',
    host: '127.0.0.1',
    port,
    user,
    password: new Secret(password),
    database: 'postgres',
    tls: NO_TLS,
  } as const
  await using stream = await postgres.engine.openBackup(
    { endpoints: [endpoint], systemIdentifier: null },
    {
      scratchDirectory: await mkdtemp(join(postgres.root, 'scratch-')),
      label: 'bench',
      maxRateKib: null,
      checkpoint: 'fast',
    },
    signal,
  )
  const sealed = await series.store(stream.entries, signal)
  await stream.finish(signal)
  return sealed
}

async function restore(
  { repository }: TestRepository,
  postgres: LocalPostgres,
  sealed: SealedSet,
  { into, verify }: Extract<StoreRequest, { act: 'restore' }>,
): Promise<void> {
  const reader = await repository.readSet(sealed.stored, signal)
  await writeTree(reader.entries(signal), into, signal)
  if (verify) await postgres.engine.verifyRestored(into, signal)
}

async function factsOf({ repository, storage }: TestRepository, sealed: SealedSet) {
  let dataBytes = 0
  let mapBytes = sealed.manifestBytes
  for (const { object, objectBytes } of sealed.packs) {
    const [kind] = await storage.readRange(object, KIND_AT, 1, signal)
    if (kind === KIND_DATA) dataBytes += objectBytes
    else mapBytes += objectBytes
  }
  const { contentBytes } = sealed
  return { chunkBytes: repository.chunkBytes, contentBytes, dataBytes, mapBytes }
}

async function answer(
  request: StoreRequest,
  opened: TestRepository,
  postgres: LocalPostgres,
  series: KeptSeries,
): Promise<StoreReply> {
  if (request.act === 'end') {
    const { cost, result } = await measured(() => series.end(request.numbers, signal))
    return { cost, stored: null, reclaimed: result }
  }
  if (request.act === 'restore') {
    const sealed = series.set(request.number)
    const { cost } = await measured(() => restore(opened, postgres, sealed, request))
    return { cost, stored: null, reclaimed: null }
  }
  if (request.act === 'stop') throw new Error('the program ends by itself')
  const { cost, result } = await measured(() =>
    request.act === 'store'
      ? series.store(directoryTree(request.from), signal)
      : takeFrom(postgres, series, request),
  )
  return { cost, stored: await factsOf(opened, result), reclaimed: null }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'chunk-bytes': { type: 'string' } } })
  const given = values['chunk-bytes']
  const chunkBytes = given === undefined ? given : Number(given)
  await using opened = await openTestRepository({ chunkBytes })
  await using postgres = await LocalPostgres.create()
  const series = new KeptSeries(opened)
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>()
  process.on('disconnect', stop)
  process.on('message', (request: StoreRequest) => {
    if (request.act === 'stop') {
      stop()
      return
    }
    answer(request, opened, postgres, series).then(
      (reply) => process.send?.(reply),
      (error: unknown) => {
        const failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
        process.send?.({ failure })
      },
    )
  })
  await stopped
}

await main()
if (process.connected) process.disconnect()
