import type { Dirent } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readdir, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../base/durable-file.ts'
import { Fault, fileFault, systemCode } from '../base/fault.ts'
import {
  claimName,
  draftPath,
  fillDraft,
  isDraft,
  readFully,
  sameContent,
  segmentOf,
} from './draft-file.ts'
import { isSegment, nameSegments } from './object-name.ts'
import type { Storage } from './storage.ts'

/** A removal may take an emptied folder away between its making and its use; then it is made anew. */
const FOLDER_TRIES_MAX = 5

/**
 * Objects as files below `directory` (made when missing), a name's segments being its path. Files
 * are 0600, folders 0700. Several processes may use the same directory.
 */
export async function openFileStorage(directory: string): Promise<Storage> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await syncDirectory(dirname(directory))
    await readdir(directory)
  } catch (error) {
    throw fileFault(error, `cannot use the storage directory ${directory}`)
  }
  return new FileStorage(directory)
}

/** Holds no descriptor between calls, so there is nothing to give back. */
class FileStorage implements Storage {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  async write(
    name: string,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number }> {
    signal.throwIfAborted()
    const path = this.#path(name)
    try {
      const draft = await this.#openDraft(path)
      const sizeBytes = await fillDraft(draft, bytes, signal)
      try {
        if (!(await claimName(draft.path, path)) && !(await sameContent(draft.path, path))) {
          throw new Fault('exists', `object ${name} exists with other bytes`)
        }
      } finally {
        await rm(draft.path, { force: true })
      }
      await this.#syncUpwards(name)
      return { sizeBytes }
    } catch (error) {
      throw fileFault(error, `cannot write object ${name} to ${this.#root}`)
    }
  }

  async readRange(
    name: string,
    offset: number,
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted()
    try {
      const handle = await open(this.#path(name), 'r')
      try {
        const bytes = await readFully(handle, offset, length)
        if (bytes.length === length) return bytes
        throw new Fault('corrupt', `object ${name} ends before byte ${offset + length}`)
      } finally {
        await handle.close()
      }
    } catch (error) {
      throw fileFault(error, `cannot read object ${name}`)
    }
  }

  async size(name: string, signal: AbortSignal): Promise<number | null> {
    signal.throwIfAborted()
    return sizeOf(this.#path(name))
  }

  async remove(names: readonly string[], signal: AbortSignal): Promise<void> {
    const byFolder = Map.groupBy(names, (name) => nameSegments(name).slice(0, -1).join('/'))
    for (const [folder, members] of byFolder) {
      signal.throwIfAborted()
      try {
        await this.#removeFrom(folder, new Set(members.map(lastSegment)))
      } catch (error) {
        throw fileFault(error, `cannot remove objects below ${folder}/`)
      }
    }
  }

  async *list(
    prefix: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly name: string; readonly sizeBytes: number }> {
    const end = prefix.lastIndexOf('/')
    const folder = end < 0 ? '' : prefix.slice(0, end)
    if (folder !== '') nameSegments(folder)
    for await (const { name, path } of this.#walk(folder, signal)) {
      if (!name.startsWith(prefix) || isDraft(path)) continue
      const sizeBytes = await sizeOf(path)
      if (sizeBytes !== null) yield { name, sizeBytes }
    }
  }

  async *listUnfinished(
    signal: AbortSignal,
  ): AsyncIterable<{ readonly name: string; readonly sizeBytes: number }> {
    for await (const { name, path } of this.#walk('', signal)) {
      if (!isDraft(path)) continue
      const sizeBytes = await sizeOf(path)
      if (sizeBytes !== null) yield { name, sizeBytes }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #path(name: string): string {
    return join(this.#root, ...nameSegments(name))
  }

  async #openDraft(path: string): Promise<{ path: string; handle: FileHandle }> {
    const draft = draftPath(path)
    for (let attempt = 1; ; attempt += 1) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      try {
        return { path: draft, handle: await open(draft, 'wx', 0o600) }
      } catch (error) {
        if (systemCode(error) !== 'ENOENT' || attempt === FOLDER_TRIES_MAX) throw error
      }
    }
  }

  /** A folder's own name is durable only when its parent is synced; another process may have made it. */
  async #syncUpwards(name: string): Promise<void> {
    const segments = nameSegments(name)
    for (let depth = segments.length - 1; depth >= 0; depth -= 1) {
      await syncDirectory(join(this.#root, ...segments.slice(0, depth)))
    }
  }

  async #removeFrom(folder: string, segments: ReadonlySet<string>): Promise<void> {
    const path = join(this.#root, folder)
    for (const entry of await entriesOf(path)) {
      if (segments.has(segmentOf(entry.name))) await rm(join(path, entry.name), { force: true })
    }
    await syncIfThere(path)
    await this.#removeEmptyFolders(folder)
  }

  async #removeEmptyFolders(folder: string): Promise<void> {
    for (let path = folder; path !== ''; path = parentOf(path)) {
      try {
        await rmdir(join(this.#root, path))
      } catch (error) {
        const code = systemCode(error)
        if (code === 'ENOTEMPTY' || code === 'EEXIST') return
        if (code !== 'ENOENT') throw error
      }
      await syncIfThere(join(this.#root, parentOf(path)))
    }
  }

  /** Objects and drafts below a folder, each with the name of its object. */
  async *#walk(
    folder: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly name: string; readonly path: string }> {
    for (const entry of await entriesOf(join(this.#root, folder))) {
      signal.throwIfAborted()
      const segment = segmentOf(entry.name)
      if (!isSegment(segment)) continue
      const name = folder === '' ? segment : `${folder}/${segment}`
      if (entry.isDirectory()) yield* this.#walk(name, signal)
      else yield { name, path: join(this.#root, folder, entry.name) }
    }
  }
}

/** What is in a folder; nothing when it is not there (any more). */
async function entriesOf(path: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

async function sizeOf(path: string): Promise<number | null> {
  const facts = await stat(path, { throwIfNoEntry: false })
  return facts?.isFile() ? facts.size : null
}

/** A folder that another process took away meanwhile is as durable as it needs to be. */
async function syncIfThere(path: string): Promise<void> {
  try {
    await syncDirectory(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
}

function parentOf(folder: string): string {
  return folder.slice(0, Math.max(0, folder.lastIndexOf('/')))
}

function lastSegment(name: string): string {
  return nameSegments(name).at(-1) ?? ''
}
