import { randomBytes } from 'node:crypto'
import { Fault, invariant, isFault } from '../base/fault.ts'
import type { Storage } from '../storage/storage.ts'
import { isChunkSize, NEW_CHUNK_BYTES } from './chunk-size.ts'

/** What every pack repeats of the repository that it belongs to. */
export interface PackOwner {
  readonly repositoryId: string
  /** Files are cut at multiples of this. */
  readonly chunkBytes: number
}

/** What is decided once, when the repository is made. */
export interface RepositoryHeader extends PackOwner {
  /** The key of the hashes by which chunks are compared and checked; 32 bytes. */
  readonly hashKey: Uint8Array
}

/** The header as an object that takes room in the storage. */
export interface HeaderObject extends RepositoryHeader {
  readonly name: string
  readonly objectBytes: number
}

export const HEADER_OBJECT = 'repository.json'
const HEADER_VERSION = 1
const HEADER_KIND = 'holdfast repository'
const HEADER_BYTES_MAX = 64 * 1024
const HASH_KEY_BYTES = 32
const REPOSITORY_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Makes the repository with this ID, a UUID in lower case, unless there is one already; safe to
 * race. Returns the header of the one that is there: the caller compares its ID, and its chunks keep
 * the length that it was made with.
 */
export async function initialiseRepository(
  storage: Storage,
  repositoryId: string,
  signal: AbortSignal,
  chunkBytes: number = NEW_CHUNK_BYTES,
): Promise<HeaderObject> {
  invariant(isChunkSize(chunkBytes), 'a repository cuts at a power of two, 4 to 64 KiB')
  invariant(REPOSITORY_ID.test(repositoryId), 'a repository is made with a UUID in lower case')
  if ((await storage.size(HEADER_OBJECT, signal)) === null) {
    await createHeader(storage, { repositoryId, chunkBytes }, signal)
  }
  return readHeader(storage, signal)
}

/** Faults: 'not-found' when there is no repository, 'unfit' when this version cannot read it. */
export async function readHeader(storage: Storage, signal: AbortSignal): Promise<HeaderObject> {
  const size = await storage.size(HEADER_OBJECT, signal)
  if (size === null) {
    throw new Fault('not-found', `there is no ${HEADER_OBJECT} in the storage`, {
      hint: 'see whether the storage is mounted where the configuration says',
    })
  }
  if (size > HEADER_BYTES_MAX) throw new Fault('corrupt', `${HEADER_OBJECT} is too long`)
  const bytes = await storage.readRange(HEADER_OBJECT, 0, size, signal)
  const header = parseHeader(Buffer.from(bytes).toString('utf8'))
  return { ...header, name: HEADER_OBJECT, objectBytes: size }
}

/**
 * Sees that the storage holds this repository before it is changed: below a mount point without its
 * mount nothing is there, and what is written or believed to be gone is wrong once it is back.
 */
export async function assertHeld(
  storage: Storage,
  repositoryId: string,
  signal: AbortSignal,
): Promise<void> {
  const header = await readHeader(storage, signal)
  if (header.repositoryId === repositoryId) return
  throw new Fault('unfit', `the storage holds repository ${header.repositoryId}, another one`, {
    hint: 'see whether the right storage is mounted where the configuration says',
  })
}

/** The 16 bytes of a repository's ID, as the binary objects carry it. */
export function repositoryIdBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

export function repositoryIdText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

async function createHeader(
  storage: Storage,
  { repositoryId, chunkBytes }: PackOwner,
  signal: AbortSignal,
): Promise<void> {
  const header = {
    kind: HEADER_KIND,
    formatVersion: HEADER_VERSION,
    repositoryId,
    chunkBytes,
    cipher: 'none',
    wrappedKey: null,
    hashKey: randomBytes(HASH_KEY_BYTES).toString('hex'),
  }
  const bytes = Buffer.from(`${JSON.stringify(header, null, 2)}\n`)
  try {
    await storage.write(HEADER_OBJECT, [bytes], signal)
  } catch (error) {
    // Another process made it between our look and our write: its header counts.
    if (!isFault(error, 'exists')) throw error
  }
}

function parseHeader(text: string): RepositoryHeader {
  const header = parseObject(text)
  if (header['kind'] !== HEADER_KIND) {
    throw new Fault('corrupt', `${HEADER_OBJECT} is not a repository's header`)
  }
  const { formatVersion, chunkBytes, cipher, repositoryId, hashKey } = header
  if (formatVersion !== HEADER_VERSION || !isChunkSize(chunkBytes) || cipher !== 'none') {
    const found = `format ${formatVersion}, chunks of ${chunkBytes} bytes, cipher ${cipher}`
    throw new Fault('unfit', `this version cannot read the repository (${found})`, {
      hint: 'use the version of Holdfast that made it, or a newer one',
    })
  }
  if (typeof repositoryId !== 'string' || !REPOSITORY_ID.test(repositoryId)) {
    throw new Fault('corrupt', `${HEADER_OBJECT} has no repository ID`)
  }
  if (typeof hashKey !== 'string' || !/^[0-9a-f]{64}$/.test(hashKey)) {
    throw new Fault('corrupt', `${HEADER_OBJECT} has no hash key`)
  }
  return { repositoryId, chunkBytes, hashKey: Buffer.from(hashKey, 'hex') }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return { ...value }
  } catch (error) {
    throw new Fault('corrupt', `${HEADER_OBJECT} is not JSON`, { cause: error })
  }
  throw new Fault('corrupt', `${HEADER_OBJECT} is not an object`)
}
