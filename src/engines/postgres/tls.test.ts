import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pause } from '../../base/clock.ts'
import { Fault, isFault } from '../../base/fault.ts'
import { Secret } from '../../base/secret.ts'
import { NO_TLS, type TlsMode, type TlsSettings } from '../../base/tls-settings.ts'
import { giveToUser } from '../../servers/server-user.ts'
import { type Authority, createAuthority } from '../../testing/certificates.ts'
import { LocalPostgres } from '../../testing/local-postgres.ts'
import { PlainPostgres } from '../../testing/plain-postgres.ts'
import type { BackupStream, Endpoint, Source } from '../engine.ts'
import { ReplicationConnection } from './replication-connection.ts'
import { withSession } from './sql-session.ts'

const TIMEOUT_MS = 10_000
const PAUSE_MS = 20
const ENCRYPTED = 'holdfast true, holdfast-tls true'
const PLAIN = 'holdfast false, holdfast-tls false'
const { signal } = new AbortController()
let host: LocalPostgres
let ours: Authority
let root: string
let otherRoot: string
let theirs: Authority
/** Its certificate is for 127.0.0.1, and not for localhost. */
let secure: PlainPostgres
/** Declines TLS. */
let plain: PlainPostgres

before(async () => {
  host = await LocalPostgres.create()
  ours = await createAuthority(host.root, 'ours')
  root = await readFile(ours.certificateFile, 'utf8')
  theirs = await createAuthority(host.root, 'theirs')
  otherRoot = await readFile(theirs.certificateFile, 'utf8')
  const home = join(host.root, 'secure')
  await PlainPostgres.create(host, home, '18', [])
  await useCertificate(home, 'IP:127.0.0.1')
  await writeFile(
    join(home, 'pg_hba.conf'),
    [
      'hostssl  all          proven  all  cert',
      'hostssl  replication  proven  all  cert',
      'host     all          admin   all  scram-sha-256',
      'hostssl  replication  admin   all  scram-sha-256\n',
    ].join('\n'),
  )
  secure = await PlainPostgres.start(host, home, '18', {
    ssl: 'on',
    listen_addresses: 'localhost',
    ssl_ca_file: ours.certificateFile,
  })
  await secure.ask('create role proven login replication', 'grant pg_monitor to proven')
  const plainHome = join(host.root, 'plain')
  await PlainPostgres.create(host, plainHome, '15', [])
  plain = await PlainPostgres.start(host, plainHome, '15', {})
})

after(async () => {
  await secure?.[Symbol.asyncDispose]()
  await plain?.[Symbol.asyncDispose]()
  await host?.[Symbol.asyncDispose]()
})

/** A new certificate of ours in the place where the server looks for it. */
async function useCertificate(home: string, names: string, days = 2): Promise<void> {
  const { certificateFile, keyFile } = await ours.issue('server', names, days)
  for (const [from, name] of [
    [certificateFile, 'server.crt'],
    [keyFile, 'server.key'],
  ] as const) {
    await writeFile(join(home, name), await readFile(from), { mode: 0o600 })
    await giveToUser(join(home, name), host.user)
  }
}

function tls(mode: TlsMode, more: Partial<TlsSettings> = {}): TlsSettings {
  return { ...NO_TLS, mode, ...more }
}

/** Connects both ways, as a backup does; tells whether SQL and replication were encrypted. */
async function connect(endpoint: Endpoint): Promise<string> {
  await using wal = await ReplicationConnection.open(endpoint, 'holdfast-tls', signal)
  const [identity] = await wal.query('IDENTIFY_SYSTEM')
  assert.match(identity?.[0] ?? '', /^\d+$/)
  return await withSession(endpoint, TIMEOUT_MS, signal, async (session) => {
    const [row] = await session.query(
      `select string_agg(distinct application_name || ' ' || ssl, ', ') as encrypted
         from pg_stat_ssl join pg_stat_activity using (pid)
        where application_name like 'holdfast%'`,
    )
    return row?.['encrypted'] ?? ''
  })
}

function refusal(text: RegExp, hint: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Fault, String(error))
    assert.match(error.message, text)
    assert.match(error.hint ?? '', hint)
    return true
  }
}

describe('TLS to a server', () => {
  it('encrypts SQL and replication whenever the mode asks for it and the server can', async () => {
    const at = secure.endpoint
    for (const settings of [
      tls('prefer'),
      tls('require'),
      tls('require', { rootCertificate: root }),
      tls('verify-ca', { rootCertificate: root }),
      tls('verify-full', { rootCertificate: root }),
    ]) {
      assert.equal(await connect({ ...at, tls: settings }), ENCRYPTED, settings.mode)
    }
  })

  it('checks who signed, with verify-ca and with require and a root certificate', async () => {
    for (const mode of ['require', 'verify-ca', 'verify-full'] as const) {
      const endpoint = { ...secure.endpoint, tls: tls(mode, { rootCertificate: otherRoot }) }
      await assert.rejects(connect(endpoint), refusal(/not signed by/, /sslrootcert/))
    }
    await assert.rejects(
      connect({ ...secure.endpoint, tls: tls('verify-ca') }),
      refusal(/not signed by this system's roots/, /sslrootcert/),
    )
  })

  it("checks the host's name with verify-full alone", async () => {
    const at = { ...secure.endpoint, host: 'localhost' }
    assert.equal(
      await connect({ ...at, tls: tls('verify-ca', { rootCertificate: root }) }),
      ENCRYPTED,
    )
    await assert.rejects(
      connect({ ...at, tls: tls('verify-full', { rootCertificate: root }) }),
      refusal(/another host than localhost/, /verify-ca/),
    )
  })

  it('speaks plain text to a server that declines TLS only when the mode allows it', async () => {
    assert.equal(await connect({ ...plain.endpoint, tls: tls('prefer') }), PLAIN)
    assert.equal(await connect({ ...plain.endpoint, tls: tls('disable') }), PLAIN)
    for (const mode of ['require', 'verify-ca', 'verify-full'] as const) {
      await assert.rejects(
        connect({ ...plain.endpoint, tls: tls(mode, { rootCertificate: root }) }),
        refusal(new RegExp(`offers no TLS, and sslmode=${mode}`), /ssl = on/),
      )
    }
  })

  it('proves who we are by a client certificate, and says which one is needed', async () => {
    const at = { ...secure.endpoint, user: 'proven', password: new Secret('') }
    const pair = await ours.issue('proven', 'DNS:proven')
    const client = {
      certificate: await readFile(pair.certificateFile, 'utf8'),
      key: new Secret(await readFile(pair.keyFile, 'utf8')),
    }
    assert.equal(
      await connect({ ...at, tls: tls('verify-full', { rootCertificate: root, client }) }),
      ENCRYPTED,
    )
    const without = { ...at, tls: tls('require') }
    const { problems } = await host.engine.inspect(
      { endpoints: [without], systemIdentifier: null },
      signal,
    )
    assert.match(problems.map(({ advice }) => advice).join(), /sslcert, sslkey/)
  })

  it('tells of a client certificate of another role, or of another authority', async () => {
    const at = { ...secure.endpoint, user: 'proven', password: new Secret('') }
    for (const [authority, name, text] of [
      [ours, 'somebody', /whose common name is proven \(sslcert, sslkey\)/],
      [theirs, 'proven', /ssl_ca_file has signed \(sslcert, sslkey\)/],
    ] as const) {
      const pair = await authority.issue(name, `DNS:${name}`)
      const client = {
        certificate: await readFile(pair.certificateFile, 'utf8'),
        key: new Secret(await readFile(pair.keyFile, 'utf8')),
      }
      const endpoint = { ...at, tls: tls('verify-full', { rootCertificate: root, client }) }
      const { problems } = await host.engine.inspect(
        { endpoints: [endpoint], systemIdentifier: null },
        signal,
      )
      assert.match(problems.map(({ advice }) => advice).join('\n'), text)
    }
  })

  it('refuses an expired certificate where it is checked, and only there', async () => {
    const home = join(host.root, 'expired')
    await PlainPostgres.create(host, home, '17', [])
    await useCertificate(home, 'IP:127.0.0.1', -1)
    await using expired = await PlainPostgres.start(host, home, '17', { ssl: 'on' })
    const at = expired.endpoint
    assert.equal(await connect({ ...at, tls: tls('require') }), ENCRYPTED)
    await assert.rejects(
      connect({ ...at, tls: tls('verify-ca', { rootCertificate: root }) }),
      refusal(/not valid at this time/, /ssl_cert_file/),
    )
  })

  it('refuses certificates that cannot be read before it connects', async () => {
    await assert.rejects(
      connect({ ...secure.endpoint, tls: tls('verify-ca', { rootCertificate: 'not PEM' }) }),
      refusal(/cannot be used|not signed/, /sslrootcert/),
    )
    const client = { certificate: root, key: new Secret('not a key') }
    await assert.rejects(
      connect({ ...secure.endpoint, tls: tls('require', { client }) }),
      refusal(/certificates cannot be used/, /sslkey/),
    )
  })
})

/** Hands every byte on to `port` until it is cut. */
async function throughProxy(
  port: number,
  work: (proxyPort: number, cut: () => void, isOpen: () => boolean) => Promise<void>,
): Promise<void> {
  const open = new Set<Socket>()
  const server = createServer((near) => {
    const far = createConnection(port, '127.0.0.1')
    for (const socket of [near, far]) {
      open.add(socket)
      // One that breaks takes the other with it; why it broke is told at its ends.
      socket.on('error', () => undefined)
      socket.on('close', () => {
        open.delete(socket)
        for (const other of [near, far]) other.destroy()
      })
    }
    near.pipe(far).pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  try {
    assert.ok(address && typeof address === 'object')
    await work(address.port, cut, () => open.size > 0)
  } finally {
    cut()
    server.close()
  }
}

/** Reads until the first bytes of a file have come, then does `then` and reads on. */
async function readOn(backup: BackupStream, then: () => void): Promise<void> {
  let begun = false
  for await (const entry of backup.entries) {
    if (entry.kind !== 'file') continue
    for await (const bytes of entry.content) {
      if (begun || bytes.length === 0) continue
      begun = true
      then()
    }
  }
}

describe('a backup over TLS', () => {
  const sourceAt = (port: number): Source => {
    const settings = tls('verify-full', { rootCertificate: root })
    return { endpoints: [{ ...secure.endpoint, port, tls: settings }], systemIdentifier: null }
  }

  it('is whole', async () => {
    const { directory } = await host.backUp(sourceAt(secure.port))
    const { files } = await host.engine.verifyRestored(directory, signal)
    assert.ok(files > 900)
  })

  it('that breaks off half way is to be tried again', async () => {
    await throughProxy(secure.port, async (port, cut) => {
      const options = await host.backupOptions('broken')
      await using backup = await host.engine.openBackup(sourceAt(port), options, signal)
      await assert.rejects(readOn(backup, cut), (error) => isFault(error, 'transient'))
    })
  })

  it('that is aborted closes its connections, and its slot goes', async () => {
    await throughProxy(secure.port, async (port, _cut, isOpen) => {
      const options = await host.backupOptions('aborted')
      const stopping = new AbortController()
      const reason = new Fault('cancelled', 'enough')
      await using backup = await host.engine.openBackup(sourceAt(port), options, stopping.signal)
      await assert.rejects(
        readOn(backup, () => stopping.abort(reason)),
        (error) => error === reason,
      )
      while (isOpen()) await pause(PAUSE_MS)
    })
    const slots = 'select count(*) from pg_replication_slots'
    while ((await secure.ask(slots)) !== '0') await pause(PAUSE_MS)
  })
})
