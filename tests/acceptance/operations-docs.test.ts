import assert from 'node:assert/strict'
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pause } from '../../src/base/clock.ts'
import { type Reaper, startReaper } from '../../src/base/reaper.ts'
import { freePort } from '../../src/servers/free-port.ts'
import { resolveServerUser } from '../../src/servers/server-user.ts'
import { CHECKOUT, packCheckout, systemEnvironment } from '../../src/testing/installed-package.ts'
import { runProgram } from '../../src/testing/run-program.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const PAGES = join(CHECKOUT, 'docs/operations')

/** Stands in for systemd, which does not run here: the unit's own command, as the unit's user. */
const SYSTEMCTL = `
pid_file=$ROOT/service.pid
case "$*" in
  daemon-reload) ;;
  'start holdfast' | 'enable --now holdfast')
    command=$(sed -n "s|/opt/holdfast|$PREFIX|; s|^ExecStart=||p" "$UNITS/holdfast.service")
    set -a
    . "$ETC/holdfast.env"
    TMPDIR=$ROOT/run
    set +a
    cd /
    setsid $RUN_AS $command > "$ROOT/service.log" 2>&1 < /dev/null &
    echo $! > "$pid_file"
    ;;
  'stop holdfast' | 'disable --now holdfast')
    [ -e "$pid_file" ] || exit 0
    pid=$(cat "$pid_file")
    kill "$pid"
    # A zombie has ended: who would collect it is not told here.
    while grep -q '^State:[^Z]*$' "/proc/$pid/status" 2> /dev/null; do sleep 0.1; done
    rm "$pid_file"
    ;;
  *) echo "no such systemctl: $*" >&2 && exit 1 ;;
esac`

/** The real program, on a user list of the test's own. */
const SYSUSERS =
  'rest=$(echo "$PATH" | cut -d: -f2-)\nPATH=$rest exec systemd-sysusers --root="$ROOT" "$1"'
const USERDEL = 'grep -q "^$1:" "$ROOT/etc/passwd"\nsed -i "/^$1:/d" "$ROOT/etc/passwd"'

const stack = new AsyncDisposableStack()
let reaper: Reaper
let root: string
let environment: Record<string, string>

before(async () => {
  root = stack.use(await temporaryFolder('operations')).path
  reaper = stack.use(startReaper())
  const { file } = await packCheckout(root)
  for (const name of ['path', 'etc', 'units', 'run']) await mkdir(join(root, name))
  for (const [name, lines] of [
    ['systemctl', SYSTEMCTL],
    ['systemd-sysusers', SYSUSERS],
    ['userdel', USERDEL],
  ] as const) {
    await writeFile(join(root, 'path', name), `#!/bin/sh\nset -eu\n${lines}\n`)
    await chmod(join(root, 'path', name), 0o755)
  }
  const uid = process.getuid?.() ?? 0
  const user = await resolveServerUser(uid === 0 ? 'nobody' : null, uid)
  if (user) await chown(join(root, 'run'), user.uid, user.gid)
  const inherited = systemEnvironment()
  environment = {
    ...inherited,
    ROOT: root,
    PATH: `${join(root, 'path')}:${inherited['PATH']}`,
    npm_config_prefer_offline: 'true',
    RUN_AS: user ? `setpriv --reuid=${user.uid} --regid=${user.gid} --clear-groups` : '',
    SERVICE_USER: user?.name ?? userInfo().username,
    LISTEN: `127.0.0.1:${await freePort()}`,
    PACKAGE: file,
    OLD_PACKAGE: file,
    PREFIX: join(root, 'opt/holdfast'),
    ETC: join(root, 'etc/holdfast'),
    DATA: join(root, 'holdfast'),
    UNITS: join(root, 'units'),
    BIN: join(root, 'bin'),
    COPY: join(root, 'copy.tar'),
    ARCHIVE: join(root, 'archive.tar'),
  }
})

after(async () => {
  if (environment) await runProgram('systemctl', ['stop', 'holdfast'], environment, root)
  await stack.disposeAsync()
})

interface Page {
  readonly prose: string
  /** What a reader would type, in order. */
  readonly commands: string
}

/** A page, or the part of it between two of its headings. */
async function readPage(name: string, from = '', to = ''): Promise<Page> {
  const text = await readFile(join(PAGES, name), 'utf8')
  const setup = /```sh\n(.*?)```/s.exec(text)?.[1] ?? ''
  const start = from === '' ? 0 : text.indexOf(`## ${from}\n`)
  const end = to === '' ? text.length : text.indexOf(`## ${to}\n`)
  assert.ok(start >= 0 && end > start, `${name} has the headings`)
  const part = text.slice(start, end)
  const blocks = [...part.matchAll(/^```sh(?: systemd)?\n(.*?)^```$/gms)].map((found) => found[1])
  assert.ok(blocks.length > 0, `${name} has commands`)
  return { prose: part, commands: [...(start > 0 ? [setup] : []), ...blocks].join('\n') }
}

/** Runs them as one shell would; gives what they printed. */
async function follow({ commands }: Page): Promise<string> {
  const run = await watched(runProgram('sh', ['-eu', '-c', commands], environment, root))
  const log = await readFile(join(root, 'service.log'), 'utf8').catch(() => '')
  assert.equal(run.code, 0, `${run.stdout}${run.stderr}\n${log.slice(-2000)}`)
  return run.stdout
}

/** Meanwhile, the services that a page starts are made to end with this process, however it ends. */
async function watched<T>(work: Promise<T>): Promise<T> {
  let done = false
  const ended = work.finally(() => {
    done = true
  })
  const settled = ended.catch(() => null)
  const known = new Set<string>()
  while (!done) {
    await Promise.race([settled, pause(100)])
    const pid = await readFile(join(root, 'service.pid'), 'utf8').catch(() => '')
    if (pid.endsWith('\n') && !known.has(pid)) await reaper.watchProcess(Number(pid))
    known.add(pid)
  }
  return await ended
}

const holdfast = async (...words: readonly string[]): Promise<string> => {
  const settings = { HOLDFAST_ENV_FILE: join(environment['ETC'] ?? '', 'holdfast.env') }
  const program = join(environment['BIN'] ?? '', 'holdfast')
  const run = await runProgram(program, words, { ...environment, ...settings }, root)
  assert.equal(run.code, 0, run.stderr)
  return run.stdout
}

/** The state of what the pages made: instances, and the sets of each. */
async function stored(): Promise<readonly string[]> {
  const list = JSON.parse(await holdfast('call', 'DescribeDBInstances')) as {
    readonly Items: { readonly DBInstance: readonly { readonly DBInstanceId: string }[] }
  }
  const ids = list.Items.DBInstance.map((instance) => instance.DBInstanceId)
  return await Promise.all(ids.map((id) => holdfast('backup', 'list', id)))
}

async function analyze(...words: readonly string[]): Promise<string> {
  const run = await runProgram('systemd-analyze', words, environment, root).catch(() => null)
  assert.ok(run, 'systemd-analyze runs: install the package systemd')
  assert.equal(run.code, 0, `${words[0]}: ${run.stdout}${run.stderr}`)
  return run.stderr
}

let sets: readonly string[] = []

test('installing: the page leads from a package to a verified set', async () => {
  const told = await follow(await readPage('install.md'))
  assert.match(told, /"problems": \[\]/)
  const data = await stat(environment['DATA'] ?? '')
  assert.equal(data.mode & 0o777, 0o700)
  const passwd = await readFile(join(root, 'etc/passwd'), 'utf8')
  assert.match(passwd, /^holdfast:.*:\/var\/lib\/holdfast:.*nologin$/m)
  sets = await stored()
  assert.equal(sets.length, 1)
  assert.match(sets[0] ?? '', /\d{9}/)
})

for (const [what, drops] of [
  ['of its own user', []],
  ['with separate users', ['separate-users.conf']],
] as const) {
  test(`the unit ${what} is one that systemd takes, and hardened`, async () => {
    const units = join(root, `checked-${drops.length}`)
    const shipped = join(CHECKOUT, 'packaging/systemd')
    await mkdir(join(units, 'holdfast.service.d'), { recursive: true })
    const unit = await readFile(join(shipped, 'holdfast.service'), 'utf8')
    const file = join(units, 'holdfast.service')
    await writeFile(file, unit.replaceAll('/opt/holdfast', environment['PREFIX'] ?? ''))
    for (const drop of drops) {
      const text = await readFile(join(shipped, drop), 'utf8')
      await writeFile(join(units, 'holdfast.service.d', drop), text)
    }
    // A setting that this systemd does not know is told, though it is no failure.
    assert.equal(await analyze('verify', file), '')
    // In tenths: 20 is "OK" for a service of its own user; root with six capabilities exposes more.
    const threshold = drops.length === 0 ? 25 : 45
    await analyze('security', '--offline=true', `--threshold=${threshold}`, file)
  })
}

test('upgrading: the page keeps every set, also on the way back', async () => {
  await follow(await readPage('upgrade.md', '', 'The way back'))
  assert.deepEqual(await stored(), sets)
  const copy = await stat(environment['COPY'] ?? '')
  assert.equal(copy.mode & 0o077, 0, 'nobody else reads the keys in the copy')
  assert.match(await follow(await readPage('upgrade.md', 'The way back')), /"problems": \[\]/)
  assert.deepEqual(await stored(), sets)
})

test('moving: the pages bring every set to a host that has nothing', async () => {
  await follow(await readPage('moving.md', '', 'On the new host'))
  const { PREFIX = '', ETC = '', DATA = '', UNITS = '', BIN = '' } = environment
  await rename(DATA, join(root, 'left-on-the-old-host'))
  for (const folder of [PREFIX, ETC, BIN]) await rm(folder, { recursive: true })
  // "As far as the configuration, but do not start the service": the unit alone.
  await follow(await readPage('install.md', '', 'The service'))
  assert.deepEqual(await readdir(DATA), [])
  assert.ok((await readdir(UNITS)).includes('holdfast.service'))
  const told = await follow(await readPage('moving.md', 'On the new host'))
  assert.match(told, /"problems": \[\]/)
  assert.deepEqual(await stored(), sets)
})

test('uninstalling: the page leaves nothing behind', async () => {
  await follow(await readPage('uninstall.md'))
  for (const name of ['PREFIX', 'ETC', 'DATA']) {
    await assert.rejects(stat(environment[name] ?? ''), { code: 'ENOENT' })
  }
  assert.deepEqual(await readdir(environment['UNITS'] ?? ''), [])
  assert.deepEqual(await readdir(environment['BIN'] ?? ''), [])
  await assert.rejects(stat(join(root, 'service.pid')), { code: 'ENOENT' })
})

test('every page is in the index, and every link of a page leads somewhere', async () => {
  const index = await readFile(join(PAGES, 'README.md'), 'utf8')
  for (const page of (await readdir(PAGES)).filter((name) => name.endsWith('.md'))) {
    if (page !== 'README.md') assert.ok(index.includes(`](${page})`), `${page} is in the index`)
    const text = await readFile(join(PAGES, page), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      assert.ok(await stat(join(PAGES, target)).catch(() => null), `${page} links to ${target}`)
    }
  }
})
