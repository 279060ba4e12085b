import { chmod, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '../src/base/secret.ts'
import { freePort } from '../src/servers/free-port.ts'
import { createPostgresData } from '../src/servers/postgres-data.ts'
import { startPostgres } from '../src/servers/postgres-server.ts'
import type { RunningServer } from '../src/servers/running-server.ts'
import { giveToUser, resolveServerUser, type ServerUser } from '../src/servers/server-user.ts'
import type { ServerAddress } from './customer-table.ts'

/** A throw-away PostgreSQL 15 of the distribution's packages, with its programs. */
export interface DebianPostgres extends AsyncDisposable {
  readonly directory: string
  readonly socketDirectory: string
  readonly bin: string
  readonly user: ServerUser | null
  readonly address: ServerAddress
  /** What libpq needs to reach it over the loopback address, as every contestant does. */
  readonly connection: string
  readonly pid: number
}

const BIN = '/usr/lib/postgresql/15/bin'
const SUPERUSER = 'admin'
const PASSWORD = 'of-a-throw-away-server'
/** The socket's folder is the server user's alone: who gets there may be anybody. */
const ACCESS = `local all all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`

/** Starts it in `folder`, archiving its log by `archiveCommand`. */
export async function startDebianPostgres(
  folder: string,
  archiveCommand: string,
): Promise<DebianPostgres> {
  const { signal } = new AbortController()
  if ((await stat(BIN).catch(() => null)) === null) {
    throw new Error(`${BIN} is not there: apt-get install postgresql-15`)
  }
  const uid = process.getuid?.() ?? -1
  const user = await resolveServerUser(uid === 0 ? 'nobody' : null, uid)
  const binaries = { major: 15, initdb: join(BIN, 'initdb'), postgres: join(BIN, 'postgres') }
  const directory = join(folder, 'server')
  const settings = {
    archive_mode: 'on',
    archive_command: archiveCommand,
    shared_buffers: '256MB',
    max_wal_size: '4GB',
  }
  const password = new Secret(PASSWORD)
  await createPostgresData(
    { directory, binaries, user, superuser: SUPERUSER, password, settings },
    signal,
  )
  await writeFile(join(directory, 'pg_hba.conf'), ACCESS)
  const port = await freePort()
  const passwordFile = join(folder, 'pgpass')
  await writeFile(passwordFile, `*:*:*:*:${PASSWORD}\n`)
  await chmod(passwordFile, 0o600)
  await giveToUser(passwordFile, user)
  const socketDirectory = join(folder, 's')
  const server: RunningServer = await startPostgres(
    {
      directory,
      binaries,
      user,
      port,
      listen: 'loopback',
      socketDirectory,
      logFile: join(folder, 'server.log'),
    },
    signal,
  )
  return {
    directory,
    socketDirectory,
    bin: BIN,
    user,
    address: { port, user: SUPERUSER, password: PASSWORD },
    connection: `host=127.0.0.1 port=${port} user=${SUPERUSER} passfile=${passwordFile}`,
    pid: server.pid,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
