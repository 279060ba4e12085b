import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../../base/durable-file.ts'
import { Fault, fileFault } from '../../base/fault.ts'
import type { EngineState } from '../engine.ts'
import { addMissingConfiguration, makeIndependent, removeOldHomeFiles } from './configuration.ts'

/** Made by the server for restores that put tablespaces back to their old places. */

/**
 * Turns a directory with the files of a set into an independent server: no standby, no archiving,
 * no address but its Unix socket, tablespaces inside the directory. `postgresql.conf` of the set
 * stays untouched. Repeatable, and durable when it resolves. The owner of the directory owns what is
 * written.
 */
export async function preparePostgres(
  directory: string,
  state: EngineState,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  try {
    const { uid, gid } = await stat(directory)
    const owner = process.getuid?.() === 0 ? { uid, gid } : null
    await removeOldHomeFiles(directory)
    await requireTablespaces(directory, state)
    await addMissingConfiguration(directory, owner)
    await makeIndependent(directory, state, owner)
    await syncDirectory(directory)
  } catch (error) {
    throw fileFault(error, `cannot prepare ${directory}`)
  }
}

/** The directories in `pg_tblspc` are the tablespaces; a set without one of them cannot be started. */
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
