import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { type Config, isExposed, loadConfig, plainListeners } from './config.ts'
import type { Environment } from './environment.ts'

function configOf(environment: Environment): Config {
  const loaded = loadConfig({ HOLDFAST_DATA: '/d', ...environment }, '/', false)
  assert.deepEqual(loaded.ok ? [] : loaded.problems, [])
  return loaded.config
}

function problemsOf(environment: Environment): readonly string[] {
  const loaded = loadConfig({ HOLDFAST_DATA: '/d', ...environment }, '/', false)
  return loaded.ok ? [] : loaded.problems
}

test('reports all problems at once', () => {
  const problems = problemsOf({
    HOLDFAST_LISTEN: 'nowhere',
    HOLDFAST_ACCESS_KEY_ID: 'only-the-id',
    HOLDFAST_REGION: 'Not A Region',
    HOLDFAST_TLS_KEY: 'key.pem',
    HOLDFAST_TRUSTED_PROXIES: '10.0.0.0/33, 10.0.0.1',
    HOLDFAST_METRICS_TOKEN: 'short',
    HOLDFAST_NOTIFY_URL: 'ftp://example.org/',
    HOLDFAST_DISK_LOW: 'some',
  })
  assert.deepEqual(
    problems.map((problem) => problem.split(' ', 1)[0]),
    [
      ...['HOLDFAST_LISTEN', 'HOLDFAST_TRUSTED_PROXIES', 'HOLDFAST_REGION'],
      ...['HOLDFAST_METRICS_TOKEN', 'HOLDFAST_NOTIFY_URL', 'HOLDFAST_DISK_LOW'],
      ...['HOLDFAST_ACCESS_KEY_ID', 'HOLDFAST_TLS_CERT'],
    ],
  )
})

test('keeps storage and key inside the data folder unless told otherwise', () => {
  const loaded = loadConfig({ HOLDFAST_DATA: 'data' }, '/srv', false)
  assert.ok(loaded.ok)
  assert.equal(loaded.config.dataDirectory, '/srv/data')
  assert.equal(loaded.config.storageDirectory, '/srv/data/storage')
  assert.equal(loaded.config.keyFile, '/srv/data/key')
  assert.deepEqual(loaded.config.listen, { host: '127.0.0.1', port: 8787 })
})

const BAD_ADDRESSES = [
  ...['127.0.0.1', 'localhost:99999', ':8787', '8787', '[::g]:1', '[1.2.3.4]:1', '::1:80'],
  ...['300.1.1.1:80', '127.1:80', 'a b:80', 'http://localhost:80', '127.0.0.1:8787/'],
]
for (const listen of BAD_ADDRESSES) {
  test(`refuses HOLDFAST_LISTEN=${listen}`, () => {
    assert.deepEqual(problemsOf({ HOLDFAST_LISTEN: listen }), [
      `HOLDFAST_LISTEN is not host:port: ${listen}`,
    ])
  })
}

for (const [listen, exposed] of [
  ['127.0.0.1:0', false],
  ['localhost:8787', false],
  ['[::1]:8787', false],
  ['127.1.2.3:80', false],
  ['0.0.0.0:8787', true],
  ['[::]:8787', true],
  ['example.org:80', true],
  ['127.example.org:80', true],
] as const) {
  test(`takes HOLDFAST_LISTEN=${listen} as ${exposed ? 'beyond' : ''} loopback`, () => {
    const config = configOf({ HOLDFAST_LISTEN: listen })
    assert.equal(isExposed(config), exposed)
    assert.deepEqual(plainListeners(config, 'all'), exposed ? ['HOLDFAST_LISTEN'] : [])
  })
}

test('counts a service behind a proxy as exposed, but not as listening in plain text', () => {
  const config = configOf({ HOLDFAST_TRUSTED_PROXIES: '127.0.0.1 , 10.0.0.0/8,fd00::/8' })
  assert.deepEqual(
    config.trustedProxies.map(({ address, prefix, family }) => `${address}/${prefix} ${family}`),
    ['127.0.0.1/32 ipv4', '10.0.0.0/8 ipv4', 'fd00::/8 ipv6'],
  )
  assert.equal(isExposed(config), true)
  assert.deepEqual(plainListeners(config, 'all'), [])
})

test('finds no plain listener once there is a certificate', () => {
  const listen = { HOLDFAST_LISTEN: '0.0.0.0:1', HOLDFAST_METRICS_LISTEN: '[::]:2' }
  const files = { HOLDFAST_TLS_CERT: 'cert.pem', HOLDFAST_TLS_KEY: '/key.pem' }
  assert.deepEqual(plainListeners(configOf(listen), 'all'), [
    'HOLDFAST_LISTEN',
    'HOLDFAST_METRICS_LISTEN',
  ])
  // A worker does not listen on it.
  assert.deepEqual(plainListeners(configOf(listen), 'worker'), ['HOLDFAST_METRICS_LISTEN'])
  const config = configOf({ ...listen, ...files })
  assert.deepEqual(plainListeners(config, 'all'), [])
  assert.deepEqual(config.tls, { certificateFile: '/cert.pem', keyFile: '/key.pem' })
})

const SECRETS = {
  HOLDFAST_ACCESS_KEY_SECRET: 'very-secret-value-1',
  HOLDFAST_METRICS_TOKEN: 'very-secret-value-2',
  HOLDFAST_NOTIFY_SECRET: 'very-secret-value-3',
  HOLDFAST_NOTIFY_URL: 'https://example.org/very-secret-value-4',
  HOLDFAST_DEAD_MAN_URL: 'https://example.org/very-secret-value-5',
  HOLDFAST_DATABASE_URL: 'postgresql://u:very-secret-value-6@h/d',
}

function secretsOf({ accessKey, metrics, notify, deadManUrl, database }: Config) {
  const secrets = [accessKey?.secret, metrics.token, notify?.secret, notify?.url, deadManUrl]
  return [...secrets.map((secret) => secret?.reveal()), database?.password.reveal()]
}

/** Of the URL of the catalogue only the password is one. */
const REVEALED = [...Object.values(SECRETS).slice(0, -1), 'very-secret-value-6']

test('never prints a secret', () => {
  const config = configOf({ HOLDFAST_ACCESS_KEY_ID: 'id', ...SECRETS })
  assert.deepEqual(secretsOf(config), REVEALED)
  assert.doesNotMatch(inspect(config, { depth: 9 }), /very-secret-value/)
  assert.doesNotMatch(JSON.stringify(config), /very-secret-value/)
})

test('never prints a bad secret among the problems', () => {
  const given = { HOLDFAST_NOTIFY_URL: 'nonsense-x', HOLDFAST_METRICS_TOKEN: 'grün-und-geheim' }
  const problems = problemsOf(given)
  assert.equal(problems.length, 2)
  assert.doesNotMatch(problems.join('\n'), /nonsense-x|geheim/)
})

test('takes every secret from a file too, without its last line break', async () => {
  await using folder = await temporaryFolder('config')
  const environment: Record<string, string> = { HOLDFAST_ACCESS_KEY_ID: 'id' }
  for (const [name, value] of Object.entries(SECRETS)) {
    await writeFile(join(folder.path, name), `${value}\n`, { mode: 0o600 })
    environment[`${name}_FILE`] = join(folder.path, name)
  }
  const config = configOf(environment)
  assert.deepEqual(secretsOf(config), REVEALED)
})

test('refuses a secret file that others can read, that is missing or empty, or beside a value', async () => {
  await using folder = await temporaryFolder('config')
  const file = join(folder.path, 'token')
  await writeFile(file, 'metrics-token', { mode: 0o644 })
  const fromFile = { HOLDFAST_METRICS_TOKEN_FILE: file }
  const refusals = [problemsOf(fromFile)]
  await chmod(file, 0o600)
  refusals.push(problemsOf({ ...fromFile, HOLDFAST_METRICS_TOKEN: 'metrics-token' }))
  await writeFile(file, '\n')
  refusals.push(problemsOf(fromFile))
  refusals.push(problemsOf({ HOLDFAST_METRICS_TOKEN_FILE: join(folder.path, 'none') }))
  refusals.push(problemsOf({ HOLDFAST_METRICS_TOKEN_FILE: folder.path }))
  assert.deepEqual(
    refusals.map((problems) => problems.length),
    [1, 1, 1, 1, 1],
  )
  const text = refusals.flat().join('\n')
  assert.match(
    text,
    /can be read by others; chmod 600.*\n.*both\n.*is empty\n.*ENOENT.*\n.*is no file/,
  )
})

test('warns of names that mean nothing, and runs all the same', () => {
  const environment = {
    HOLDFAST_DATA: '/d',
    HOLDFAST_LISTENN: 'x',
    HOLDFAST_REGION_FILE: 'y',
    HOLDFAST_METRICS_TOKEN_FILE: '',
    OTHER: 'z',
  }
  const loaded = loadConfig(environment, '/', false)
  assert.equal(loaded.ok, true)
  assert.deepEqual(loaded.warnings, [
    'HOLDFAST_LISTENN is no setting of Holdfast and has no effect',
    'HOLDFAST_REGION_FILE is no setting of Holdfast and has no effect',
  ])
})

for (const [text, expected] of [
  ['10%', { kind: 'percent', percent: 10 }],
  ['2.5 %', { kind: 'percent', percent: 2.5 }],
  ['0', { kind: 'bytes', bytes: 0 }],
  ['20GiB', { kind: 'bytes', bytes: 20 * 2 ** 30 }],
  ['500 MiB', { kind: 'bytes', bytes: 500 * 2 ** 20 }],
] as const) {
  test(`reads HOLDFAST_DISK_LOW=${text}`, () => {
    assert.deepEqual(configOf({ HOLDFAST_DISK_LOW: text }).diskLow, expected)
  })
}

for (const text of ['101%', '-1', '5 GB', '1.5GiB', '999999999999999TiB', '%']) {
  test(`refuses HOLDFAST_DISK_LOW=${text}`, () => {
    assert.equal(problemsOf({ HOLDFAST_DISK_LOW: text }).length, 1)
  })
}

for (const [text, hours] of [
  ['0', 0],
  ['24h', 24],
  ['7d', 168],
  ['1d12h', 36],
] as const) {
  test(`reads HOLDFAST_UNDELETE_WINDOW=${text}`, () => {
    const { undeleteWindowMs } = configOf({ HOLDFAST_UNDELETE_WINDOW: text })
    assert.equal(undeleteWindowMs, hours * 3_600_000)
  })
}

for (const text of ['24', '-1h', '1w', 'forever', '731d', '0.5h', '99999999999999999999d']) {
  test(`refuses HOLDFAST_UNDELETE_WINDOW=${text}`, () => {
    assert.equal(problemsOf({ HOLDFAST_UNDELETE_WINDOW: text }).length, 1)
  })
}

test('the undelete window is 24 h and nothing is paused, unless it is said', () => {
  const { undeleteWindowMs, paused } = configOf({})
  assert.deepEqual([undeleteWindowMs, [...paused]], [24 * 3_600_000, []])
  const both = loadConfig({ HOLDFAST_DATA: '/d', HOLDFAST_PAUSE: 'expiry, backups' }, '/', false)
  assert.deepEqual([...both.config.paused], ['backups', 'expiry'])
  assert.equal(both.warnings.length, 2)
  assert.match(problemsOf({ HOLDFAST_PAUSE: 'expiry,backup' }).join(), /not backup$/)
})

test('refuses what is set in halves', () => {
  const both = /^HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY must be set together$/
  assert.match(problemsOf({ HOLDFAST_TLS_CERT: 'c' }).join('\n'), both)
  assert.match(problemsOf({ HOLDFAST_TLS_KEY: 'c' }).join('\n'), both)
  const unused = problemsOf({ HOLDFAST_NOTIFY_SECRET: 'long-enough' })
  assert.deepEqual(unused, ['HOLDFAST_NOTIFY_SECRET signs nothing without HOLDFAST_NOTIFY_URL'])
  const twice = { HOLDFAST_LISTEN: '127.0.0.1:80', HOLDFAST_METRICS_LISTEN: '127.0.0.1:80' }
  assert.match(problemsOf(twice).join('\n'), /^HOLDFAST_METRICS_LISTEN is the address of/)
})

test('keeps data in the home folder, but not in that of root, which others cannot pass', () => {
  const homeOf = (root: boolean) => loadConfig({ HOME: '/home/of' }, '/', root)
  const [own, roots] = [homeOf(false), homeOf(true)]
  assert.ok(own.ok && roots.ok)
  assert.equal(own.config.dataDirectory, '/home/of/.holdfast')
  assert.equal(roots.config.dataDirectory, '/var/lib/holdfast')
  assert.equal(loadConfig({}, '/', false).ok, false)
})
