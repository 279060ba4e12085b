import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { giveTreeToUser } from '../../servers/server-user.ts'
import { LocalPostgres } from '../../testing/local-postgres.ts'
import { PlainPostgres } from '../../testing/plain-postgres.ts'

const { signal } = new AbortController()
let host: LocalPostgres

before(async () => {
  host = await LocalPostgres.create()
})

after(async () => {
  await host?.[Symbol.asyncDispose]()
})

interface Kind {
  readonly name: string
  readonly version: string
  readonly initdb: readonly string[]
  readonly settings: Readonly<Record<string, string>>
  readonly segmentBytes: number
  readonly manifestVersion: number
}

const MIB = 1024 * 1024
const KINDS: readonly Kind[] = [
  {
    name: 'PostgreSQL 15 with checksums and small segments',
    version: '15',
    initdb: ['--data-checksums', '--wal-segsize', '1'],
    settings: {},
    segmentBytes: MIB,
    manifestVersion: 1,
  },
  {
    name: 'PostgreSQL 16 with an ICU locale and full_page_writes off',
    version: '16',
    initdb: ['--locale-provider=icu', '--icu-locale=de-DE', '-E', 'UTF8'],
    settings: { full_page_writes: 'off' },
    segmentBytes: 16 * MIB,
    manifestVersion: 1,
  },
  {
    name: 'PostgreSQL 17 with large segments and compressed log',
    version: '17',
    initdb: ['--wal-segsize', '64'],
    settings: { wal_compression: 'pglz', wal_level: 'logical' },
    segmentBytes: 64 * MIB,
    manifestVersion: 2,
  },
  {
    name: 'PostgreSQL 18 without checksums, in LATIN1',
    version: '18',
    initdb: ['--no-data-checksums', '-E', 'LATIN1', '--locale=C'],
    settings: { wal_sender_timeout: '0' },
    segmentBytes: 16 * MIB,
    manifestVersion: 2,
  },
]

describe('a backup', () => {
  for (const kind of KINDS) {
    it(`of ${kind.name} is whole, and its copy starts`, async () => {
      const home = join(host.root, `v${kind.version}`)
      await PlainPostgres.create(host, home, kind.version, kind.initdb)
      const server = await PlainPostgres.start(host, home, kind.version, kind.settings)
      await server.ask(
        "set allow_in_place_tablespaces = 'on'",
        "create tablespace inner_one location ''",
        'create table kept tablespace inner_one as select generate_series(1, 1000) n',
        'create unlogged table fleeting as select 1 as one',
      )
      const source = { endpoints: [server.endpoint], systemIdentifier: null }
      const { directory, set } = await host.backUp(source)
      await server[Symbol.asyncDispose]()
      const state = set.engineState
      assert.equal(Math.floor(state.serverVersionNumber / 10_000), Number(kind.version))
      assert.equal(state.walSegmentBytes, kind.segmentBytes)
      const manifest = await readFile(join(directory, 'backup_manifest'), 'utf8')
      assert.match(manifest, new RegExp(`Manifest-Version": ${kind.manifestVersion},`))
      const wal = join(directory, 'pg_wal')
      const segments = (await readdir(wal)).filter((name) => /^[0-9A-F]{24}$/.test(name))
      for (const name of segments) {
        assert.equal((await stat(join(wal, name))).size, kind.segmentBytes)
      }
      await host.engine.verifyRestored(directory, signal)
      await host.engine.prepareRestored(directory, state, signal)
      await host.engine.verifyRestored(directory, signal)
      await giveTreeToUser(directory, host.user)
      await using copy = await PlainPostgres.start(host, directory, kind.version)
      assert.equal(await copy.ask('select sum(n) from kept'), '500500')
      assert.equal(await copy.ask('select count(*) from fleeting'), '0')
    })
  }
})
