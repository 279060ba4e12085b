import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { invariant } from '../../base/fault.ts'
import { writeTree } from '../../base/tree-writer.ts'
import { locateBinaries, type PostgresBinaries } from '../../servers/binaries.ts'
import { createDirectoryWhole, createPostgresData } from '../../servers/postgres-data.ts'
import { startPostgres } from '../../servers/postgres-server.ts'
import type { RunningServer } from '../../servers/running-server.ts'
import { giveTreeToUser, type ServerUser } from '../../servers/server-user.ts'
import type {
  BackupOptions,
  Endpoint,
  EngineState,
  LocalEngine,
  LocalServerPlan,
} from '../engine.ts'
import { openPostgresBackup } from './backup-stream.ts'
import { inPlaceTablespaces, removeOldHomeFiles, rewriteAutoConf } from './configuration.ts'
import { passfileOf, writePassfile } from './passfile.ts'
import { requireTablespaces } from './restored.ts'
import { withSession } from './sql-session.ts'

/** What of this host the local servers use. */
export interface PostgresHost {
  readonly user: ServerUser | null
  /** Where programs that the server user cannot reach are mirrored to. */
  readonly binariesDirectory: string
  /** Holds one short private folder per server, for its Unix socket. */
  readonly socketRoot: string
}

const PRIMARY_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'replica',
  max_wal_senders: '10',
  max_replication_slots: '10',
  wal_keep_size: '128MB',
  max_slot_wal_keep_size: '1GB',
  hot_standby: 'on',
  password_encryption: 'scram-sha-256',
}
const ASK_TIMEOUT_MS = 10_000

/** Primaries and standbys of this host, from the PostgreSQL programs that npm installs. */
export function createPostgresLocalEngine(host: PostgresHost): LocalEngine {
  const binariesOf = (plan: LocalServerPlan) =>
    locateBinaries(plan.version, host.user, host.binariesDirectory)
  return {
    createPrimary: async (plan, signal) =>
      createPostgresData(
        {
          directory: plan.directory,
          binaries: await binariesOf(plan),
          user: host.user,
          superuser: plan.user,
          password: plan.password,
          settings: PRIMARY_SETTINGS,
        },
        signal,
      ),
    createStandby: (plan, primary, scratchDirectory, signal) =>
      createStandby(host, plan, primary, scratchDirectory, signal),
    start: async (plan, signal) => startLocal(host, plan, await binariesOf(plan), signal),
    remove: removeLocal,
  }
}

/** Beside the directory lie the log, its older part, and a standby's password. */
async function removeLocal(directory: string): Promise<void> {
  const log = logFileOf(directory)
  for (const path of [directory, passfileOf(directory), log, `${log}.1`]) {
    await rm(path, { recursive: true, force: true })
  }
}

function logFileOf(directory: string): string {
  return `${directory}.log`
}

async function createStandby(
  host: PostgresHost,
  plan: LocalServerPlan,
  primary: Endpoint,
  scratchDirectory: string,
  signal: AbortSignal,
): Promise<void> {
  await createDirectoryWhole(plan.directory, host.user, async (draft) => {
    await ensureSlot(primary, slotOf(plan), signal)
    const state = await copyPrimary(primary, draft, scratchDirectory, signal)
    await removeOldHomeFiles(draft)
    await requireTablespaces(draft, state)
    await rewriteAutoConf(draft, await inPlaceTablespaces(draft), () => false, host.user)
    await writeFile(join(draft, 'standby.signal'), '', { mode: 0o600, flush: true })
    await giveTreeToUser(draft, host.user)
  })
}

/** A backup of the primary, written to `directory`. */
async function copyPrimary(
  primary: Endpoint,
  directory: string,
  scratchDirectory: string,
  signal: AbortSignal,
): Promise<EngineState> {
  await rm(scratchDirectory, { recursive: true, force: true })
  await mkdir(scratchDirectory, { recursive: true, mode: 0o700 })
  const options: BackupOptions = {
    scratchDirectory,
    label: 'holdfast standby',
    maxRateKib: null,
    checkpoint: 'fast',
  }
  const source = { endpoints: [primary], systemIdentifier: null }
  await using backup = await openPostgresBackup(source, options, signal)
  await writeTree(backup.entries, directory, signal)
  return (await backup.finish(signal)).engineState
}

/** The slot keeps the log that the standby still needs, within the primary's own bound. */
async function ensureSlot(primary: Endpoint, slot: string, signal: AbortSignal): Promise<void> {
  await withSession(primary, ASK_TIMEOUT_MS, signal, (session) =>
    session.query(
      `select pg_create_physical_replication_slot($1, true)
        where not exists (select from pg_replication_slots where slot_name = $1)`,
      [slot],
    ),
  )
}

/**
 * Done at every start, because the primary's port may have changed. The password stays out of the
 * data directory, whose files go into backups of the standby.
 */
async function followPrimary(host: PostgresHost, plan: LocalServerPlan): Promise<void> {
  invariant(plan.primaryPort !== null, 'a standby knows the port of its primary')
  await writePassfile(plan, host.user)
  const parts = {
    host: '127.0.0.1',
    port: String(plan.primaryPort),
    user: plan.user,
    passfile: passfileOf(plan.directory),
    application_name: plan.node,
  }
  const conninfo = Object.entries(parts).map(([name, value]) => `${name}=${quoteConninfo(value)}`)
  const settings = {
    primary_conninfo: conninfo.join(' '),
    primary_slot_name: slotOf(plan),
    recovery_target_timeline: 'latest',
  }
  await rewriteAutoConf(plan.directory, settings, () => false, host.user)
}

async function startLocal(
  host: PostgresHost,
  plan: LocalServerPlan,
  binaries: PostgresBinaries,
  signal: AbortSignal,
): Promise<RunningServer> {
  if (plan.role === 'standby') await followPrimary(host, plan)
  return startPostgres(
    {
      directory: plan.directory,
      binaries,
      user: host.user,
      port: plan.port,
      listen: 'loopback',
      socketDirectory: join(host.socketRoot, shortName(plan.directory)),
      logFile: logFileOf(plan.directory),
    },
    signal,
  )
}

/** Slot names are of lower-case letters, digits and underscores, at most 63 of them. */
function slotOf(plan: LocalServerPlan): string {
  return plan.node
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/g, '_')
    .slice(0, 63)
}

function shortName(directory: string): string {
  return createHash('sha256').update(directory).digest('hex').slice(0, 12)
}

/** PostgreSQL manual, "Connection Strings": quotes and backslashes are escaped by a backslash. */
function quoteConninfo(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
