/**
 * A program for the reaper's test to kill: starts a PostgreSQL server in a temporary folder, prints
 * the folder and the server's pid as one line of JSON, and then waits for its end.
 */
import { join } from 'node:path'
import { pause } from '../base/clock.ts'
import { Secret } from '../base/secret.ts'
import { locateBinaries } from '../servers/binaries.ts'
import { freePort } from '../servers/free-port.ts'
import { createPostgresData } from '../servers/postgres-data.ts'
import { startPostgres } from '../servers/postgres-server.ts'
import { giveToUser, resolveServerUser } from '../servers/server-user.ts'
import { temporaryFolder } from './temporary-folder.ts'

const WAIT_MS = 120_000

const { signal } = new AbortController()
const folder = await temporaryFolder('abandoned')
const user = await resolveServerUser(null, process.getuid?.() ?? 0)
const binaries = await locateBinaries('18', user, join(folder.path, 'binaries'))
const directory = join(folder.path, 'data')
await createPostgresData(
  { directory, binaries, user, superuser: 'tester', password: new Secret('x'), settings: {} },
  signal,
)
await giveToUser(folder.path, user)
const server = await startPostgres(
  {
    directory,
    binaries,
    user,
    port: await freePort(),
    listen: 'socket',
    socketDirectory: join(folder.path, 'socket'),
    logFile: join(folder.path, 'log'),
  },
  signal,
)
process.stdout.write(`${JSON.stringify({ folder: folder.path, server: server.pid })}\n`)
await pause(WAIT_MS)
