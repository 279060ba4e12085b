import { spawn } from 'node:child_process'
import { mkdir, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { replaceFile, syncDirectory } from '../base/durable-file.ts'
import { Fault } from '../base/fault.ts'
import type { Secret } from '../base/secret.ts'
import type { PostgresBinaries } from './binaries.ts'
import { giveToUser, requireOpenWay, type ServerUser, spawnIds } from './server-user.ts'

/** A data directory to be made. */
export interface PostgresDataPlan {
  readonly directory: string
  readonly binaries: PostgresBinaries
  readonly user: ServerUser | null
  readonly superuser: string
  readonly password: Secret<string>
  readonly settings: Readonly<Record<string, string>>
}

/** What a server's programs see; nothing of this process's own environment. */
export const SERVER_ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/**
 * Password access from this host only: the Unix socket and the loopback addresses, for clients and
 * for replication.
 */
export const LOOPBACK_ACCESS = `# Access from this host only, by password.
local   all          all                  scram-sha-256
host    all          all  127.0.0.1/32    scram-sha-256
host    all          all  ::1/128         scram-sha-256
local   replication  all                  scram-sha-256
host    replication  all  127.0.0.1/32    scram-sha-256
host    replication  all  ::1/128         scram-sha-256
`

/**
 * Makes a new data directory: UTF-8, C locale, page checksums, SCRAM passwords, access from this
 * host only. One that is there already is kept as it is; an interrupted attempt leaves only a draft
 * beside it, which the next one removes.
 */
export async function createPostgresData(
  plan: PostgresDataPlan,
  signal: AbortSignal,
): Promise<void> {
  await createDirectoryWhole(plan.directory, plan.user, async (draft) => {
    await giveToUser(draft, plan.user)
    await runInitdb(plan, draft, signal)
    await replaceFile(join(draft, 'pg_hba.conf'), LOOPBACK_ACCESS, 0o600, plan.user)
    await writeSettings(draft, plan.settings, plan.user)
  })
}

/**
 * Makes a directory appear whole or not at all: `fill` works on a draft beside it, which becomes
 * the directory at the end. A finished one is kept, an abandoned draft is removed. The draft is
 * this process's own: what root writes into a folder of someone else could be led elsewhere by
 * links, so `fill` hands it over when it is complete.
 */
export async function createDirectoryWhole(
  directory: string,
  user: ServerUser | null,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  if ((await stat(directory).catch(() => null)) !== null) return
  const draft = `${directory}.draft`
  await mkdir(dirname(directory), { recursive: true })
  await requireOpenWay(directory, user)
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { mode: 0o700 })
  try {
    await fill(draft)
    await syncDirectory(draft)
    await rename(draft, directory)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
  await syncDirectory(dirname(directory))
}

/** `name = 'value'` as a configuration file has it; quotes and backslashes in the value survive. */
export function settingLine(name: string, value: string): string {
  return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`
}

/** Writes `postgresql.auto.conf`, which the server reads last: it wins over `postgresql.conf`. */
async function writeSettings(
  directory: string,
  settings: Readonly<Record<string, string>>,
  user: ServerUser | null,
): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => settingLine(name, value))
  await replaceFile(join(directory, 'postgresql.auto.conf'), lines.join(''), 0o600, user)
}

async function runInitdb(
  plan: PostgresDataPlan,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  // Beside the draft, because initdb wants its directory empty. A killed attempt left it behind.
  const passwordFile = `${directory}.password`
  await rm(passwordFile, { force: true })
  await writeFile(passwordFile, `${plan.password.reveal()}\n`, { mode: 0o600, flag: 'wx' })
  try {
    await giveToUser(passwordFile, plan.user)
    const options = ['-A', 'scram-sha-256', '--pwfile', passwordFile, '--data-checksums']
    options.push('-E', 'UTF8', '--locale=C', '--no-instructions', '-U', plan.superuser)
    const child = spawn(plan.binaries.initdb, ['-D', directory, ...options], {
      ...spawnIds(plan.user),
      cwd: directory,
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', 'ignore', 'pipe'],
      signal,
    })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = `${complaint}${text}`.slice(-4096)
    })
    let failure: unknown = null
    child.once('error', (error) => {
      failure = error
    })
    // Also after an abort: until it has ended the program may still write into the directory.
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    if (failure !== null) throw failure
    if (code !== 0) throw new Fault('unfit', `initdb failed (${code}): ${complaint.trim()}`)
  } finally {
    await unlink(passwordFile)
  }
}
