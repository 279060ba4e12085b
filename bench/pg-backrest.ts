import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveToUser, spawnIds } from '../src/servers/server-user.ts'
import type { DebianPostgres } from './debian-postgres.ts'
import type { Cost } from './measured.ts'
import { measuredCommand } from './measured.ts'

const INSTALLED = '/usr/bin/pgbackrest'
/** As many as our codec has threads. */
const PROCESSES = 2

/** The program of the distribution's package, unpacked into `folder` where it is not installed. */
export async function fetchPgBackRest(folder: string): Promise<string> {
  if ((await stat(INSTALLED).catch(() => null)) !== null) return INSTALLED
  // Downloading changes nothing on this system. As root apt would hand over to a user who may not
  // write here.
  const options = ['-q', '-o', 'APT::Sandbox::User=root', 'download', 'pgbackrest']
  await measuredCommand('apt-get', options, { cwd: folder })
  const found = (await readdir(folder)).find((name) => name.endsWith('.deb'))
  if (found === undefined) throw new Error('apt-get downloaded no package')
  await measuredCommand('dpkg', ['-x', join(folder, found), join(folder, 'backrest')])
  return join(folder, 'backrest', INSTALLED)
}

/** pgBackRest with a repository on this disk, run as the server's user. */
export class PgBackRest {
  readonly repository: string
  readonly #program: string
  readonly #configuration: string
  readonly #folder: string
  #server: DebianPostgres | null = null

  constructor(program: string, folder: string) {
    this.#program = program
    this.#folder = join(folder, 'backrest-files')
    this.repository = join(this.#folder, 'repo')
    this.#configuration = join(folder, 'pgbackrest.conf')
  }

  /** What the server is told to run for each segment of its log. */
  get archiveCommand(): string {
    return `${this.#command().join(' ')} archive-push %p`
  }

  async configure(server: DebianPostgres): Promise<void> {
    this.#server = server
    const settings = {
      'repo1-path': this.repository,
      'repo1-retention-full': 1,
      'log-path': join(this.#folder, 'log'),
      'lock-path': join(this.#folder, 'lock'),
      'spool-path': join(this.#folder, 'spool'),
      'log-level-file': 'off',
      'start-fast': 'y',
      'process-max': PROCESSES,
      'compress-type': 'zst',
      'compress-level': 1,
    }
    const place = {
      'pg1-path': server.directory,
      'pg1-port': server.address.port,
      'pg1-socket-path': server.socketDirectory,
      'pg1-user': server.address.user,
    }
    const text = `[global]\n${linesOf(settings)}[main]\n${linesOf(place)}`
    await writeFile(this.#configuration, text)
    await mkdir(this.#folder, { recursive: true })
    await giveToUser(this.#folder, server.user)
  }

  /** Begins with an empty repository. */
  async begin(): Promise<void> {
    await rm(this.repository, { recursive: true, force: true })
    await this.#run(['stanza-create'])
  }

  backup(type: 'full' | 'incr'): Promise<Cost> {
    return this.#run([`--type=${type}`, 'backup'])
  }

  /** Restores the newest backup. */
  async restore(into: string): Promise<Cost> {
    await mkdir(into, { mode: 0o700 })
    await giveToUser(into, this.#server?.user ?? null)
    return this.#run([`--pg1-path=${into}`, 'restore'])
  }

  #command(): string[] {
    return [this.#program, `--config=${this.#configuration}`, '--stanza=main']
  }

  #run(parameters: readonly string[]): Promise<Cost> {
    const [program = '', ...options] = this.#command()
    const ids = spawnIds(this.#server?.user ?? null)
    return measuredCommand(program, [...options, ...parameters], { ...ids, cwd: '/' })
  }
}

function linesOf(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}
