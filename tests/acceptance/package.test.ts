import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { type Reaper, startReaper } from '../../src/base/reaper.ts'
import { freePort } from '../../src/servers/free-port.ts'
import { CHECKOUT, type Packed, packCheckout, runNpm } from '../../src/testing/installed-package.ts'
import { type Finished, runProgram } from '../../src/testing/run-program.ts'
import { until } from '../../src/testing/service-process.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

interface LockedPackage {
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

const stack = new AsyncDisposableStack()
let reaper: Reaper
let packed: Packed
let folder: string
let holdfast: string
let environment: Readonly<Record<string, string>>

before(async () => {
  folder = stack.use(await temporaryFolder('package')).path
  reaper = stack.use(startReaper())
  packed = await packCheckout(folder)
  const installed = join(folder, 'empty')
  await mkdir(installed)
  const words = ['install', '--prefer-offline', '--no-audit', '--no-fund', packed.file]
  const { code, stderr } = await runNpm(words, installed)
  assert.equal(code, 0, stderr)
  holdfast = join(installed, 'node_modules/.bin/holdfast')
  const sockets = join(folder, 't')
  await mkdir(sockets)
  await chmod(sockets, 0o711)
  environment = {
    PATH: '/usr/bin:/bin',
    TMPDIR: sockets,
    HOLDFAST_DATA: join(folder, 'data'),
    HOLDFAST_LISTEN: `127.0.0.1:${await freePort()}`,
    ...(process.getuid?.() === 0 ? { HOLDFAST_SERVER_USER: 'nobody' } : {}),
  }
})

after(async () => {
  await stack.disposeAsync()
})

const run = (...words: readonly string[]): Promise<Finished> =>
  runProgram(holdfast, words, environment, folder)

async function succeed(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...words)
  assert.equal(code, 0, `holdfast ${words.join(' ')}: ${stderr}`)
  return stdout.trimEnd()
}

test('the package holds programs, threads, documents and units, and nothing of the tests', () => {
  for (const path of [
    ...['bin/holdfast', 'dist/cli/main.js', 'dist/repository/codec-thread.js', 'LICENSE'],
    ...['dist/base/reaper-program.js', 'dist/catalogue/migrations/all.js', 'README.md'],
    ...['docs/operations/install.md', 'packaging/systemd/holdfast.service'],
  ]) {
    assert.ok(packed.contents.includes(path), `${path} is packed`)
  }
  const strange = packed.contents.filter((path) =>
    /\.ts$|\.test\.|testing\/|tidy|^(src|tests|bench|script|node_modules)\//.test(path),
  )
  assert.deepEqual(strange, [])
})

test('an installation has exactly the direct dependencies that package.json names', async () => {
  const read = async (file: string) => JSON.parse(await readFile(file, 'utf8')) as Lock
  const locked = await read(join(CHECKOUT, 'package-lock.json'))
  const installed = await read(join(folder, 'empty/node_modules/.package-lock.json'))
  // What these need in turn npm may choose anew: it reads a package's own lock from a registry only.
  const direct = Object.keys(locked.packages['']?.dependencies ?? {})
  const names = direct.map((name) => `node_modules/${name}`)
  assert.ok(names.length > 5)
  for (const name of names) {
    assert.equal(installed.packages[name]?.version, locked.packages[name]?.version, name)
  }
})

test('wrong usage ends with the exit code 2, through the launcher', async () => {
  assert.equal((await run('nonsense')).code, 2)
})

test('serves, backs up, verifies and restores without anything of the checkout', async () => {
  const child = spawn(holdfast, ['serve'], { cwd: folder, env: environment, stdio: 'ignore' })
  await once(child, 'spawn')
  const pid = child.pid ?? 0
  await reaper.watchProcess(pid)
  await untilHealthy(child)
  // The launcher has become the service: a signal to the one, kill -9 included, is one to the other.
  const commandLine = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
  assert.match(commandLine[1] ?? '', /empty\/node_modules\/holdfast\/dist\/cli\/main\.js$/)

  const create = ['--engine', 'PostgreSQL', '--engine-version', '18', '--category', 'Basic']
  const instance = await succeed('instance', 'create', ...create)
  const set = await succeed('backup', 'create', instance)
  assert.match(set, /^\d{9}$/)
  assert.deepEqual(JSON.parse(await succeed('verify')).problems, [])
  const target = join(folder, 'restored')
  await succeed('restore', '--backup-id', set, '--target-directory', target)
  assert.match(await readFile(join(target, 'PG_VERSION'), 'utf8'), /^18/)

  const opened = `${await readFile(`/proc/${pid}/maps`, 'utf8')}${await readlink(`/proc/${pid}/exe`)}`
  assert.ok(!opened.includes(`${CHECKOUT}/`), 'nothing of the checkout is mapped')
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
})

async function untilHealthy(child: ChildProcess): Promise<void> {
  const url = `http://${environment['HOLDFAST_LISTEN']}/healthz`
  await until(async () => {
    assert.equal(child.exitCode, null, 'the service runs')
    await pause(50)
    return (await fetch(url).catch(() => null))?.ok === true
  }, 'the installed service is healthy')
}
