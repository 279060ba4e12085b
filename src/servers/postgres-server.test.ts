import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pause } from '../base/clock.ts'
import { isFault } from '../base/fault.ts'
import { Secret } from '../base/secret.ts'
import { type TemporaryFolder, temporaryFolder } from '../testing/temporary-folder.ts'
import { locateBinaries } from './binaries.ts'
import { freePort } from './free-port.ts'
import { stopLeftover } from './leftover.ts'
import { createPostgresData } from './postgres-data.ts'
import { type PostgresStart, startPostgres } from './postgres-server.ts'
import { resolveServerUser, type ServerUser } from './server-user.ts'
import { askStartup } from './startup-probe.ts'

const { signal } = new AbortController()
let folder: TemporaryFolder
let user: ServerUser | null
let start: PostgresStart

before(async () => {
  folder = await temporaryFolder('server')
  user = await resolveServerUser(null, process.getuid?.() ?? -1)
  const binaries = await locateBinaries('18', user, join(folder.path, 'programs'))
  const directory = join(folder.path, 'data')
  const plan = {
    directory,
    binaries,
    user,
    superuser: 'tester',
    settings: { max_connections: '7' },
  }
  await createPostgresData({ ...plan, password: new Secret('x') }, signal)
  start = {
    directory,
    binaries,
    user,
    port: await freePort(),
    listen: 'socket',
    socketDirectory: join(folder.path, 's'),
    logFile: join(folder.path, 'log'),
  }
})

after(async () => {
  await stopLeftover(start.directory, signal)
  await folder[Symbol.asyncDispose]()
})

function answer(): ReturnType<typeof askStartup> {
  return askStartup({ path: join(start.socketDirectory, `.s.PGSQL.${start.port}`) }, 'tester')
}

/** A server on the directory whose parent has been killed. */
async function abandon(): Promise<number> {
  const program = `
    import { startPostgres } from '${new URL('./postgres-server.ts', import.meta.url)}'
    const start = JSON.parse(process.argv[1])
    const server = await startPostgres(start, new AbortController().signal)
    console.log(server.pid)
    setInterval(() => {}, 1000)`
  const options = ['--input-type=module', '-e', program, JSON.stringify(start)]
  const parent = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line]: unknown[] = await once(parent.stdout, 'data')
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  return Number(String(line))
}

function alive(pid: number): Promise<boolean> {
  return readlink(`/proc/${pid}/exe`).then(
    () => true,
    () => false,
  )
}

describe('a server', () => {
  it('lets clients in by its private socket alone, and ends when it is disposed', async () => {
    const server = await startPostgres(start, signal)
    assert.equal(await answer(), 'accepts')
    assert.equal((await stat(start.socketDirectory)).mode & 0o777, 0o700)
    assert.equal(await askStartup({ host: '127.0.0.1', port: start.port }, 'tester'), 'silent')
    await server[Symbol.asyncDispose]()
    assert.equal((await server.exited).code, 0)
    assert.equal(await alive(server.pid), false)
    assert.equal(await answer(), 'silent')
  })

  it('listens on the loopback address when it is told to', async () => {
    await using server = await startPostgres({ ...start, listen: 'loopback' }, signal)
    assert.equal(await askStartup({ host: '127.0.0.1', port: server.port }, 'tester'), 'accepts')
  })

  it('that refuses to start is reported with the end of its log', async () => {
    await assert.rejects(
      startPostgres({ ...start, settings: { shared_buffers: 'plenty' } }, signal),
      (error) => isFault(error, 'unfit') && /shared_buffers/.test(error.message),
    )
  })

  it('whose port is taken is told apart, and not confused with the next failure', async () => {
    const taker = createServer().listen(start.port, '127.0.0.1')
    await once(taker, 'listening')
    try {
      await assert.rejects(
        startPostgres({ ...start, listen: 'loopback' }, signal),
        (error) =>
          isFault(error, 'exists') && error.message.includes(`port ${start.port} is taken`),
      )
    } finally {
      taker.close()
      await once(taker, 'close')
    }
    await assert.rejects(
      startPostgres({ ...start, settings: { shared_buffers: 'plenty' } }, signal),
      (error) => isFault(error, 'unfit') && !error.message.includes('could not bind'),
    )
  })

  it('that is killed is reported, and its successor recovers the directory', async () => {
    const server = await startPostgres(start, signal)
    process.kill(server.pid, 'SIGKILL')
    assert.equal((await server.exited).code, null)
    await using next = await startPostgres(start, signal)
    assert.equal(await answer(), 'accepts')
    assert.notEqual(next.pid, server.pid)
  })

  it('outlives a killed parent and gives way to the next server on its directory', async () => {
    const old = await abandon()
    assert.equal(await alive(old), true)
    assert.equal(await answer(), 'accepts')
    await using next = await startPostgres(start, signal)
    assert.equal(await alive(old), false)
    assert.equal(await answer(), 'accepts')
    assert.notEqual(next.pid, old)
  })

  it('gives way too when only its orphaned children are left', async () => {
    const old = await abandon()
    process.kill(old, 'SIGSTOP')
    process.kill(old, 'SIGKILL')
    while (await alive(old)) await pause(10)
    await using _next = await startPostgres(start, signal)
    assert.equal(await answer(), 'accepts')
  })

  it('starts although a stale pid file names a living program of another kind', async () => {
    const pidFile = join(start.directory, 'postmaster.pid')
    await writeFile(pidFile, `${process.pid}\n${start.directory}\n0\n${start.port}\n`)
    await using server = await startPostgres(start, signal)
    assert.equal(Number((await readFile(pidFile, 'utf8')).split('\n')[0]), server.pid)
  })

  it('is not started where its socket path would be too long', async () => {
    const socketDirectory = join(folder.path, 'x'.repeat(90))
    await assert.rejects(startPostgres({ ...start, socketDirectory }, signal), (error) =>
      isFault(error, 'unfit'),
    )
  })
})

describe('a data directory', () => {
  it('that is finished is kept as it is', async () => {
    const before = await stat(start.directory)
    const { directory, binaries } = start
    await createPostgresData(
      { directory, binaries, user, superuser: 'other', password: new Secret('y'), settings: {} },
      signal,
    )
    assert.equal((await stat(start.directory)).ino, before.ino)
  })

  it('does not appear when its making is aborted', async () => {
    const directory = join(folder.path, 'aborted')
    const plan = { directory, binaries: start.binaries, user, superuser: 'tester', settings: {} }
    await assert.rejects(
      createPostgresData({ ...plan, password: new Secret('x') }, AbortSignal.timeout(100)),
      /abort/i,
    )
    await assert.rejects(stat(directory), /ENOENT/)
    await assert.rejects(stat(`${directory}.draft`), /ENOENT/)
    await assert.rejects(stat(`${directory}.draft.password`), /ENOENT/)
  })
})
