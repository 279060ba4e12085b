import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from '../../base/durable-file.ts'
import { systemCode } from '../../base/fault.ts'
import { LOOPBACK_ACCESS, settingLine } from '../../servers/postgres-data.ts'
import type { EngineState } from '../engine.ts'
import { RECOVERY_SETTINGS } from './server-facts.ts'

/** Read last by the server, and on `pg_verifybackup`'s list of files that may differ. */
export const AUTO_CONF = 'postgresql.auto.conf'

type Owner = { readonly uid: number; readonly gid: number } | null

/** What tied the copy to its old home: replication, archiving, recovery targets, addresses. */
const OLD_HOME =
  /^(primary_.*|recovery_.*|restore_command|promote_trigger_file|archive_.*|port|listen_addresses|unix_socket_directories|synchronous_standby_names|ssl|external_pid_file|hba_file|ident_file)$/

/**
 * Settings of an independent copy. It listens on its Unix socket only, waits for no standby,
 * archives nothing, and needs no certificate that stayed at the old home. Its subscriptions do not
 * run: they would take the changes that publishers hold ready for the original's.
 */
const INDEPENDENT: Readonly<Record<string, string>> = {
  archive_mode: 'off',
  listen_addresses: '',
  max_logical_replication_workers: '0',
  primary_conninfo: '',
  primary_slot_name: '',
  restore_command: '',
  ssl: 'off',
  synchronous_standby_names: '',
}

const MINIMAL_CONFIGURATION = `# Written by Holdfast: the backup held no configuration, because the
# server kept its own outside the data directory. What recovery needs is in ${AUTO_CONF}.
password_encryption = 'scram-sha-256'
`
const MINIMAL_ACCESS = `# Written by Holdfast: the backup held no pg_hba.conf.
${LOOPBACK_ACCESS}`

/** Drops what ties `directory` to its old home and writes what recovery needs, and `more`; durable. */
export async function makeIndependent(
  directory: string,
  state: EngineState,
  more: Readonly<Record<string, string>>,
  owner: Owner,
): Promise<void> {
  const kept: Record<string, string> = {}
  for (const name of RECOVERY_SETTINGS) {
    const value = state.settings[name]
    if (value !== undefined) kept[name] = value
  }
  const settings = { ...kept, ...INDEPENDENT, ...more }
  await rewriteAutoConf(directory, settings, (name) => OLD_HOME.test(name), owner)
}

/**
 * A tablespace of a copy is a real directory in `pg_tblspc`, unless it was put elsewhere on request,
 * so that the copy can be moved and never touches the old place. PostgreSQL ends recovery with a
 * panic at such directories unless this setting is on.
 */
export async function inPlaceTablespaces(
  directory: string,
): Promise<Readonly<Record<string, string>>> {
  const spaces = await readdir(join(directory, 'pg_tblspc'), { withFileTypes: true })
  const inPlace = spaces.some((space) => space.isDirectory())
  return inPlace ? { allow_in_place_tablespaces: 'on' } : {}
}

/** Replaces `settings` in `postgresql.auto.conf` and drops those that `drop` names. */
export async function rewriteAutoConf(
  directory: string,
  settings: Readonly<Record<string, string>>,
  drop: (name: string) => boolean,
  owner: Owner,
): Promise<void> {
  const path = join(directory, AUTO_CONF)
  const lines = (await readIfThere(path)).split('\n').filter((line) => {
    const name = /^\s*([A-Za-z_][\w.]*)/.exec(line)?.[1]?.toLowerCase()
    return line.trim() !== '' && (name === undefined || !(drop(name) || name in settings))
  })
  const added = Object.entries(settings).map(([name, value]) => settingLine(name, value))
  await replaceFile(
    path,
    `${lines.map((line) => `${line}\n`).join('')}${added.join('')}`,
    0o600,
    owner,
  )
}

/**
 * A server whose configuration lives elsewhere (Debian: /etc/postgresql) has none in its data
 * directory: the copy gets a minimal one, and access by password from this host only. Gives the
 * names of the files that were written, by this or an earlier call.
 */
export async function addMissingConfiguration(
  directory: string,
  owner: Owner,
): Promise<readonly string[]> {
  const added: string[] = []
  const texts = { 'postgresql.conf': MINIMAL_CONFIGURATION, 'pg_hba.conf': MINIMAL_ACCESS }
  for (const [name, text] of Object.entries(texts)) {
    const path = join(directory, name)
    if ((await readIfThere(path)) === text) added.push(name)
    if ((await stat(path).catch(() => null)) !== null) continue
    await replaceFile(path, text, 0o600, owner)
    added.push(name)
  }
  return added
}

/** Files that make a copy a standby or belong to the process that ran at the old home. */
export async function removeOldHomeFiles(directory: string): Promise<void> {
  for (const name of ['standby.signal', 'recovery.signal', 'postmaster.pid', 'postmaster.opts']) {
    await rm(join(directory, name), { force: true })
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return ''
    throw error
  }
}
