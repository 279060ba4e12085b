import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pause } from '../base/clock.ts'
import { describeError } from '../base/fault.ts'
import { Secret } from '../base/secret.ts'
import { NO_TLS } from '../base/tls-settings.ts'
import type { Endpoint } from '../engines/engine.ts'
import { locateBinaries } from '../servers/binaries.ts'
import { freePort } from '../servers/free-port.ts'
import { SERVER_ENVIRONMENT } from '../servers/postgres-data.ts'
import { giveToUser, spawnIds } from '../servers/server-user.ts'
import type { LocalPostgres } from './local-postgres.ts'
import { askDatabase } from './with-database.ts'

const USER = 'admin'
const PASSWORD = 'a secret'
const TRIES_MAX = 300
const PAUSE_MS = 100

/** A server as an operator starts it: nothing is set but what is given. Disposing stops it. */
export class PlainPostgres implements AsyncDisposable {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  /** `initdb`, with these options beside a superuser with a password. */
  static async create(
    host: LocalPostgres,
    directory: string,
    version: string,
    options: readonly string[],
  ): Promise<void> {
    const { initdb } = await locateBinaries(version, host.user, join(host.root, 'programs'))
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await giveToUser(directory, host.user)
    const passwordFile = `${directory}.pw`
    await writeFile(passwordFile, PASSWORD)
    await giveToUser(passwordFile, host.user)
    const fixed = ['-D', directory, '-U', USER, '-A', 'scram-sha-256', '--pwfile', passwordFile]
    const child = spawn(initdb, [...fixed, '--no-sync', ...options], {
      ...spawnIds(host.user),
      cwd: directory,
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const [code] = await once(child, 'exit')
    if (code !== 0) throw new Error(`initdb ended with ${code}`)
  }

  /** Waits until it answers `ready`: `false` for a primary, `true` for a standby, or a refusal. */
  static async start(
    host: LocalPostgres,
    directory: string,
    version: string,
    settings: Readonly<Record<string, string>> = {},
    ready = 'false',
  ): Promise<PlainPostgres> {
    const { postgres } = await locateBinaries(version, host.user, join(host.root, 'programs'))
    const port = Number(settings['port'] ?? (await freePort()))
    const own = { listen_addresses: '127.0.0.1', port: String(port), ...settings }
    const options = Object.entries(own).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const log = openSync(`${directory}.log`, 'a')
    const sockets = ['-k', await host.folder('s')]
    await giveToUser(sockets[1] ?? '', host.user)
    const child = spawn(postgres, ['-D', directory, ...sockets, ...options], {
      ...spawnIds(host.user),
      cwd: dirname(directory),
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', log, log],
    })
    const server = new PlainPostgres(child, port)
    for (let tries = 0; tries < TRIES_MAX && child.exitCode === null; tries += 1) {
      const answer = await server.ask('select pg_is_in_recovery()').catch(describeError)
      if (answer === ready) return server
      await pause(PAUSE_MS)
    }
    await server[Symbol.asyncDispose]()
    throw new Error(`the server did not come up: ${await readFile(`${directory}.log`, 'utf8')}`)
  }

  get endpoint(): Endpoint {
    return {
      role: 'primary',
      node: 'plain',
      host: '127.0.0.1',
      port: this.port,
      user: USER,
      password: new Secret(PASSWORD),
      database: 'postgres',
      tls: NO_TLS,
    }
  }

  /** The one value of the last of these statements, as text. */
  ask(...statements: readonly string[]): Promise<string> {
    const { host, port, user, database } = this.endpoint
    return askDatabase({ host, port, user, password: PASSWORD, database }, statements)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGINT')
    await exited
  }
}
