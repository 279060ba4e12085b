import { readdir, stat } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'
import { syncDirectory } from '../../base/durable-file.ts'
import { Fault, fileFault } from '../../base/fault.ts'
import type { EngineState } from '../engine.ts'
import {
  addMissingConfiguration,
  inPlaceTablespaces,
  makeIndependent,
  removeOldHomeFiles,
} from './configuration.ts'
import { type CopiedSettings, readCopiedSettings } from './copied-settings.ts'

/**
 * Turns a directory with the files of a set into an independent server: no standby, no archiving,
 * no address but its Unix socket, tablespaces where they are. `postgresql.conf` of the set stays
 * untouched. Repeatable, and durable when it resolves. The owner of the directory owns what is
 * written. Gives what whoever starts the server should know.
 */
export async function preparePostgres(
  directory: string,
  state: EngineState,
  signal: AbortSignal,
): Promise<readonly string[]> {
  signal.throwIfAborted()
  try {
    const { uid, gid } = await stat(directory)
    const owner = process.getuid?.() === 0 ? { uid, gid } : null
    await removeOldHomeFiles(directory)
    await requireTablespaces(directory, state)
    const added = await addMissingConfiguration(directory, owner)
    const copied = await readCopiedSettings(join(directory, 'postgresql.conf'))
    const settings = { ...(await inPlaceTablespaces(directory)), ...ownPlaces(directory, copied) }
    await makeIndependent(directory, state, settings, owner)
    await syncDirectory(directory)
    return notes(directory, added, copied)
  } catch (error) {
    throw fileFault(error, `cannot prepare ${directory}`)
  }
}

/** What a configuration places by an absolute path belongs to the original: the copy has its own. */
function ownPlaces(directory: string, copied: CopiedSettings): Readonly<Record<string, string>> {
  const places: Record<string, string> = {}
  const own = {
    // The server takes these two from the folder that it was started in.
    hba_file: join(resolve(directory), 'pg_hba.conf'),
    ident_file: join(resolve(directory), 'pg_ident.conf'),
    external_pid_file: 'external.pid',
    log_directory: 'log',
  }
  for (const [name, place] of Object.entries(own)) {
    if (isAbsolute(copied.settings.get(name) ?? '')) places[name] = place
  }
  return places
}

function notes(
  directory: string,
  added: readonly string[],
  copied: CopiedSettings,
): readonly string[] {
  const told: string[] = []
  if (added.length > 0) {
    told.push(
      `The set holds no ${added.join(' and no ')}, because the server kept its configuration outside ` +
        'its data directory: a minimal one was written (access from this host, by password).',
    )
  }
  for (const path of copied.missing) {
    told.push(
      `postgresql.conf includes ${path}, which is not there: the server does not start before it ` +
        'is, or before the line is taken out.',
    )
  }
  const home = copied.settings.get('data_directory')
  if (home !== undefined && resolve(directory, home) !== resolve(directory)) {
    told.push(
      `postgresql.conf names ${home} as data_directory: start the copy with ` +
        `-o "-c data_directory=${resolve(directory)}", or it opens that other one.`,
    )
  }
  return told
}

/** What is in `pg_tblspc` are the tablespaces; a set without one of them cannot be started. */
export async function requireTablespaces(
  directory: string,
  state: Pick<EngineState, 'tablespaces'>,
): Promise<void> {
  const present = new Set(await readdir(join(directory, 'pg_tblspc')))
  for (const { oid } of state.tablespaces) {
    if (present.has(String(oid))) continue
    throw new Fault('corrupt', `the tablespace ${oid} is not in ${directory}/pg_tblspc`)
  }
}
