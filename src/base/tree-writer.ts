import { chmod, type FileHandle, mkdir, open, readdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from './durable-file.ts'
import { Fault, fileFault } from './fault.ts'
import type { TreeEntry, WholeFile } from './file-tree.ts'

/** Files that are being made durable at the same time. */
const SYNCING_MAX = 16

/**
 * Writes a tree into a directory, made when missing, otherwise empty but for files named by
 * `mayHold`. Durable when it resolves: every file and every directory has been flushed. Modes are
 * kept as they are. A path that leaves the directory, or passes through anything but a directory
 * written before it (a link, say), is a Fault 'corrupt'. `onBytes` is told of each piece of content
 * as it is written. A directory whose path is a key of `elsewhere` becomes a link to the existing,
 * empty directory named there, which gets its content.
 */
export async function writeTree(
  entries: AsyncIterable<TreeEntry>,
  directory: string,
  signal: AbortSignal,
  onBytes?: (bytes: number) => void,
  mayHold: readonly string[] = [],
  elsewhere: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const found = await readdir(directory)
    if (found.some((name) => !mayHold.includes(name))) {
      throw new Fault('exists', `${directory} is not empty`)
    }
    await new TreeWriter(directory, signal, onBytes, elsewhere).write(entries)
  } catch (error) {
    throw fileFault(error, `cannot write into ${directory}`)
  }
}

class TreeWriter {
  readonly #root: string
  readonly #signal: AbortSignal
  readonly #onBytes: (bytes: number) => void
  readonly #elsewhere: ReadonlyMap<string, string>
  readonly #directories = new Set<string>(['.'])
  readonly #syncing = new Set<Promise<void>>()
  #syncFault: unknown = null

  constructor(
    root: string,
    signal: AbortSignal,
    onBytes: ((bytes: number) => void) | undefined,
    elsewhere: ReadonlyMap<string, string>,
  ) {
    this.#root = root
    this.#signal = signal
    this.#onBytes = onBytes ?? (() => undefined)
    this.#elsewhere = elsewhere
  }

  async write(entries: AsyncIterable<TreeEntry>): Promise<void> {
    try {
      for await (const entry of entries) {
        this.#signal.throwIfAborted()
        this.#check(entry.path)
        await this.#place(entry)
      }
    } finally {
      await Promise.all(this.#syncing)
    }
    this.#throwSyncFault()
    for (const path of this.#directories) await syncDirectory(join(this.#root, path))
    await syncDirectory(dirname(this.#root))
  }

  #check(path: string): void {
    const parts = path.split('/')
    const plain = parts.every((part) => part !== '' && part !== '.' && part !== '..')
    if (!plain || path.includes('\0') || !this.#directories.has(dirname(path))) {
      throw new Fault('corrupt', `the path ${JSON.stringify(path)} has no place in a tree`)
    }
  }

  async #place(entry: TreeEntry): Promise<void> {
    const target = join(this.#root, entry.path)
    if (entry.kind === 'link') {
      await symlink(entry.target, target)
    } else if (entry.kind === 'directory') {
      const other = this.#elsewhere.get(entry.path)
      if (other === undefined) await mkdir(target, { mode: 0o700 })
      else await symlink(other, target)
      // mkdir is subject to the process mask.
      await chmod(target, entry.mode)
      this.#directories.add(entry.path)
    } else {
      await this.#writeFile(entry, target)
    }
  }

  async #writeFile(entry: WholeFile, target: string): Promise<void> {
    const handle = await open(target, 'wx', entry.mode)
    try {
      await handle.chmod(entry.mode)
      for await (const bytes of entry.content) {
        this.#signal.throwIfAborted()
        await handle.writeFile(bytes)
        this.#onBytes(bytes.length)
      }
    } catch (error) {
      await handle.close()
      throw error
    }
    await this.#sync(handle)
  }

  /** Flushing runs beside the writing of the next files, but only so many at once. */
  async #sync(handle: FileHandle): Promise<void> {
    const syncing = handle
      .sync()
      .finally(() => handle.close())
      .catch((error: unknown) => {
        this.#syncFault ??= error
      })
      .finally(() => this.#syncing.delete(syncing))
    this.#syncing.add(syncing)
    if (this.#syncing.size >= SYNCING_MAX) await Promise.race(this.#syncing)
    this.#throwSyncFault()
  }

  #throwSyncFault(): void {
    if (this.#syncFault !== null) throw this.#syncFault
  }
}
