import assert from 'node:assert/strict'
import { mkdir, readdir, readlink, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { locateBinaries } from '../../src/servers/binaries.ts'
import { freePort } from '../../src/servers/free-port.ts'
import { startPostgres } from '../../src/servers/postgres-server.ts'
import {
  giveToUser,
  giveTreeToUser,
  resolveServerUser,
  type ServerUser,
} from '../../src/servers/server-user.ts'
import { ServiceProcess } from '../../src/testing/service-process.ts'
import { withDatabase } from '../../src/testing/with-database.ts'

let service: ServiceProcess
let user: ServerUser | null
let instanceId: string
let setId: string
/** Where the instance has its two tablespaces; an equals sign has to be escaped in a mapping. */
let plain: string
let odd: string

before(async () => {
  service = await ServiceProcess.open('tablespaces')
  const uid = process.getuid?.() ?? -1
  user = await resolveServerUser(uid === 0 ? 'nobody' : null, uid)
  plain = join(service.folder, 'plain')
  odd = join(service.folder, 'o=dd')
  instanceId = await service.createInstance('Basic')
  for (const [name, location] of [
    ['first', plain],
    ['second', odd],
  ]) {
    await mkdir(String(location), { mode: 0o700 })
    await giveToUser(String(location), user)
    await service.query(instanceId, `create tablespace ${name} location '${location}'`)
    const rows = 'select generate_series(1, 1000) n'
    await service.query(instanceId, `create table in_${name} tablespace ${name} as ${rows}`)
  }
  await service.succeed('backup', 'create', instanceId)
  const [id] = /\b1\d{8}\b/.exec(await service.succeed('backup', 'list', instanceId)) ?? []
  setId = String(id)
})

after(async () => {
  await service?.[Symbol.asyncDispose]()
})

function restore(target: string, ...mappings: readonly string[]) {
  const mapped = mappings.flatMap((mapping) => ['--tablespace-mapping', mapping])
  return service.run('restore', '--backup-id', setId, '--target-directory', target, ...mapped)
}

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

test('a mapped tablespace is put in its folder, linked, and read by the started server', async () => {
  const target = join(service.folder, 'mapped')
  const first = join(service.folder, 'new', 'first')
  const second = join(service.folder, 'new', 'sec=ond')
  const escaped = (path: string) => path.replaceAll('=', '\\=')
  const mappings = [`${plain}=${first}`, `${escaped(odd)}=${escaped(second)}`]
  const { code, stdout, stderr } = await restore(target, ...mappings)
  assert.equal(code, 0, stderr)
  assert.match(stdout, /Tablespace \d+, which was in .*plain, is in .*new\/first\./)
  const links = await readdir(join(target, 'pg_tblspc'))
  const places = await Promise.all(links.map((oid) => readlink(join(target, 'pg_tblspc', oid))))
  assert.deepEqual(places.sort(), [first, second].sort())
  for (const place of places) {
    assert.equal((await stat(place)).mode & 0o777, 0o700)
    assert.match((await readdir(place)).join(), /^PG_18_\d+$/)
  }
  for (const path of [target, first, second]) await giveTreeToUser(path, user)
  await using copy = await startPostgres(
    {
      directory: target,
      binaries: await locateBinaries('18', user, join(service.folder, 'programs')),
      user,
      port: await freePort(),
      listen: 'loopback',
      socketDirectory: join(service.folder, 's'),
      logFile: `${target}.log`,
    },
    new AbortController().signal,
  )
  const url = new URL(await service.succeed('instance', 'connect', instanceId))
  url.port = String(copy.port)
  await withDatabase({ connectionString: url.href }, async (client) => {
    const sums = 'select (select sum(n) from in_first) + (select sum(n) from in_second) as sum'
    assert.equal((await client.query(sums)).rows[0].sum, '1001000')
    await client.query('insert into in_second values (7)')
    const filled = 'select pg_tablespace_location(oid) as at from pg_tablespace order by spcname'
    const locations = (await client.query(filled)).rows.map((row) => row.at)
    assert.deepEqual(locations.filter((at) => at !== '').sort(), [first, second].sort())
  })
})

test('a tablespace that is not mapped stays inside the directory', async () => {
  const target = join(service.folder, 'half')
  const first = join(service.folder, 'half-first')
  assert.equal((await restore(target, `${plain}=${first}`)).code, 0)
  const spaces = await readdir(join(target, 'pg_tblspc'), { withFileTypes: true })
  assert.deepEqual(spaces.map((space) => space.isDirectory()).sort(), [false, true])
})

test('a restore whose folder for a tablespace is in use leaves nothing anywhere', async () => {
  const target = join(service.folder, 'refused')
  const first = join(service.folder, 'refused-first')
  const taken = join(service.folder, 'taken')
  await mkdir(taken)
  await writeFile(join(taken, 'precious'), '')
  const mappings = [`${plain}=${first}`, `${odd.replace('=', '\\=')}=${taken}`]
  const { code, stderr } = await restore(target, ...mappings)
  assert.equal(code, 1)
  assert.match(stderr, /taken is not empty/)
  assert.deepEqual(await readdir(taken), ['precious'])
  assert.equal((await isThere(target)) || (await isThere(first)), false)
})

const refusals: readonly (readonly [string, (at: (name: string) => string) => string, RegExp])[] = [
  ['names no tablespace of the set', (at) => `/nowhere=${at('x')}`, /no tablespace that was in/],
  ['puts one into the target', (at) => `${plain}=${at('target/x')}`, /cannot both be restored/],
  ['is relative', () => `${plain}=x`, /NEW is not absolute/],
  ['has no equals sign', (at) => at('x'), /OLD=NEW/],
]
for (const [name, mapping, told] of refusals) {
  test(`a mapping that ${name} is refused before anything is written`, async () => {
    const at = (path: string) => join(service.folder, 'no', path)
    const { code, stderr } = await restore(at('target'), mapping(at))
    assert.notEqual(code, 0)
    assert.match(stderr, told)
    assert.equal(await isThere(at('target')), false)
    assert.equal(await isThere(at('x')), false)
  })
}
