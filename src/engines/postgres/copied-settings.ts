import { readdir, readFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { systemCode } from '../../base/fault.ts'

/** What a `postgresql.conf` and the files it includes say. */
export interface CopiedSettings {
  /** Lower-case name → value; of several the last one counts, as for the server. */
  readonly settings: ReadonlyMap<string, string>
  /** Files and folders that are included and not there: the server does not start without them. */
  readonly missing: readonly string[]
}

/** As many levels as the server follows (PostgreSQL source, guc-file.l: CONF_FILE_MAX_DEPTH). */
const DEPTH_MAX = 10
/** `name = 'value'`, `name value`: the equals sign may be left out, quotes are doubled or escaped. */
const LINE = /^\s*([A-Za-z_][\w.]*)\s*=?\s*(?:'((?:[^'\\]|\\.|'')*)'|([^\s#']+))/

/** Reads the configuration at `path` as the server does (PostgreSQL manual, "Setting Parameters"). */
export async function readCopiedSettings(path: string): Promise<CopiedSettings> {
  const found = { settings: new Map<string, string>(), missing: [] as string[] }
  await readInto(path, 0, false, found)
  return found
}

interface Found {
  readonly settings: Map<string, string>
  readonly missing: string[]
}

async function readInto(
  path: string,
  depth: number,
  mayMiss: boolean,
  found: Found,
): Promise<void> {
  const text = await unlessMissing(readFile(path, 'utf8'))
  if (text === null) {
    if (!mayMiss) found.missing.push(path)
    return
  }
  for (const line of text.split('\n')) {
    const match = LINE.exec(line)
    if (!match?.[1]) continue
    const name = match[1].toLowerCase()
    const value = match[2]?.replaceAll("''", "'").replace(/\\(.)/g, '$1') ?? match[3] ?? ''
    const other = isAbsolute(value) ? value : join(dirname(path), value)
    if (!name.startsWith('include')) found.settings.set(name, value)
    else if (depth >= DEPTH_MAX) continue
    else if (name === 'include_dir') await readFolder(other, depth + 1, found)
    else await readInto(other, depth + 1, name === 'include_if_exists', found)
  }
}

async function readFolder(folder: string, depth: number, found: Found): Promise<void> {
  const names = await unlessMissing(readdir(folder))
  if (names === null) found.missing.push(folder)
  for (const name of [...(names ?? [])].sort()) {
    if (name.startsWith('.') || !name.endsWith('.conf')) continue
    await readInto(resolve(folder, name), depth, false, found)
  }
}

async function unlessMissing<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return null
    throw error
  }
}
