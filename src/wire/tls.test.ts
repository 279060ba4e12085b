import assert from 'node:assert/strict'
import { lookup } from 'node:dns/promises'
import { chmod, copyFile, readFile, rename, symlink, unlink, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect, type PeerCertificate } from 'node:tls'
import { $OpenApiUtil } from '@alicloud/openapi-core'
import rds from '@alicloud/rds20140815'
import { pause } from '../base/clock.ts'
import { type Authority, createAuthority, type IssuedCertificate } from '../testing/certificates.ts'
import { until } from '../testing/service-process.ts'
import { sendRaw } from '../testing/signed-request.ts'
import { type TemporaryFolder, temporaryFolder } from '../testing/temporary-folder.ts'
import { startWireService, TEST_KEY, type WireService } from '../testing/wire-service.ts'
import type { TlsFiles } from './tls-files.ts'

const { default: Client, DescribeRegionsRequest } = rds
const NAMES = 'DNS:localhost,IP:127.0.0.1,IP:::1'
const POLL_MS = 20

let folder: TemporaryFolder
let authority: Authority
let first: IssuedCertificate
let second: IssuedCertificate
before(async () => {
  folder = await temporaryFolder('tls')
  authority = await createAuthority(folder.path, 'authority')
  first = await authority.issue('first', NAMES)
  second = await authority.issue('second', NAMES)
})
after(async () => {
  await folder[Symbol.asyncDispose]()
})

function startTls(tls: TlsFiles): Promise<WireService> {
  return startWireService([], 0, { tls, tlsPollMs: POLL_MS })
}

/** Copies of a pair, to be replaced by a test. */
async function copies(name: string, of: IssuedCertificate): Promise<IssuedCertificate> {
  const [certificateFile, keyFile] = [
    join(folder.path, `${name}.c`),
    join(folder.path, `${name}.k`),
  ]
  await copyFile(of.certificateFile, certificateFile)
  await copyFile(of.keyFile, keyFile)
  return { certificateFile, keyFile }
}

/** The name on the certificate that a new connection sees, which has to be of the authority. */
async function seenName(service: WireService, host = '127.0.0.1'): Promise<string> {
  const ca = await readFile(authority.certificateFile)
  const { promise, resolve, reject } = Promise.withResolvers<PeerCertificate>()
  const socket = connect({ port: service.server.port, host, ca }, () =>
    resolve(socket.getPeerCertificate()),
  )
  socket.on('error', reject)
  const seen = await promise
  socket.destroy()
  return String(seen.subject.CN)
}

async function untilSeen(service: WireService, name: string): Promise<void> {
  await until(async () => (await seenName(service)) === name, `the certificate ${name} is seen`)
}

async function untilLogged(service: WireService, message: string): Promise<void> {
  await until(async () => service.lines.some((line) => line.message === message), message)
}

async function get(url: string): Promise<{ status: number; body: string }> {
  const ca = await readFile(authority.certificateFile)
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
  const asked = request(url, { ca }, async (reply) => {
    resolve({ status: reply.statusCode ?? 0, body: (await reply.toArray()).join('') })
  })
  asked.on('error', reject)
  asked.end()
  return promise
}

describe('a service with a certificate', () => {
  it('answers the official SDK, which trusts its authority', async () => {
    await using service = await startTls(first)
    assert.match(service.url, /^https:/)
    const sdk = (ca?: string) =>
      new Client(
        new $OpenApiUtil.Config({
          accessKeyId: TEST_KEY.id,
          accessKeySecret: TEST_KEY.secret.reveal(),
          endpoint: `localhost:${service.server.port}`,
          protocol: 'https',
          regionId: 'local',
          ...(ca === undefined ? {} : { ca }),
        }),
      )
    const ca = await readFile(authority.certificateFile, 'utf8')
    const { statusCode } = await sdk(ca).describeRegions(new DescribeRegionsRequest({}))
    assert.equal(statusCode, 200)
    await assert.rejects(sdk().describeRegions(new DescribeRegionsRequest({})))
  })

  it('leads from an error to a page by https', async () => {
    await using service = await startTls(first)
    const { status, body } = await get(`${service.url}/?Action=DescribeRegions`)
    assert.equal(status, 400)
    const { Recommend } = JSON.parse(body)
    assert.ok(Recommend.startsWith(`${service.url}/troubleshoot?`), Recommend)
    assert.match((await get(Recommend)).body, /MissingParameter/)
  })

  it('closes what is not TLS, and goes on', async () => {
    await using service = await startTls(first)
    const plain = await sendRaw(service.url, 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    assert.equal(plain, '')
    assert.equal((await get(`${service.url}/healthz`)).status, 200)
  })

  it('speaks no TLS older than 1.2', async () => {
    await using service = await startTls(first)
    const { promise, reject } = Promise.withResolvers<never>()
    const old = {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    } as const
    connect({ port: service.server.port, ...old }).on('error', reject)
    await assert.rejects(promise, /alert protocol version/)
  })
})

describe('a certificate that changes', () => {
  it('is taken up without a restart, also when its two files are written one after the other', async () => {
    const files = await copies('turns', first)
    await using service = await startTls(files)
    assert.equal(await seenName(service), 'first')
    await copyFile(second.certificateFile, files.certificateFile)
    await untilLogged(service, 'certificate not reloaded, the earlier one stays in use')
    assert.equal(await seenName(service), 'first')
    await copyFile(second.keyFile, files.keyFile)
    await untilSeen(service, 'second')
  })

  it('is taken up when a link to a folder of both is swapped', async () => {
    const link = join(folder.path, 'current')
    for (const [target, pair] of [
      ['one', first],
      ['two', second],
    ] as const) {
      const copied = await copies(target, pair)
      await rename(copied.certificateFile, join(folder.path, `${target}.crt`))
    }
    await symlink(join(folder.path, 'one.crt'), link)
    const keyLink = join(folder.path, 'current-key')
    await symlink(join(folder.path, 'one.k'), keyLink)
    await using service = await startTls({ certificateFile: link, keyFile: keyLink })
    for (const [name, target] of [
      [link, 'two.crt'],
      [keyLink, 'two.k'],
    ] as const) {
      await symlink(join(folder.path, target), `${name}.new`)
      await rename(`${name}.new`, name)
    }
    await untilSeen(service, 'second')
  })

  it('stays as it was when the new one is broken, missing or open to others, which is logged once', async () => {
    const files = await copies('broken', first)
    await using service = await startTls(files)
    const refused = () =>
      service.lines.filter(({ message }) => message.startsWith('certificate not reloaded'))
    await writeFile(files.certificateFile, 'nonsense')
    await until(async () => refused().length === 1, 'a broken certificate is refused')
    await unlink(files.certificateFile)
    await until(async () => refused().length === 2, 'a missing certificate is refused')
    await copyFile(second.certificateFile, files.certificateFile)
    await writeFile(`${files.keyFile}.new`, await readFile(second.keyFile), { mode: 0o644 })
    await rename(`${files.keyFile}.new`, files.keyFile)
    const open = () => JSON.stringify(refused()).includes('read by others')
    await until(async () => open(), 'an open key is refused')
    const count = refused().length
    await pause(10 * POLL_MS)
    assert.equal(refused().length, count)
    assert.equal(await seenName(service), 'first')
    assert.doesNotMatch(JSON.stringify(service.lines), /BEGIN|PRIVATE/)
  })
})

it('a host name with several addresses is listened on at each, with the new certificate at each', async () => {
  const files = await copies('each', first)
  const listen = { host: 'localhost', port: 0 }
  const service = await startWireService([], 0, { tls: files, tlsPollMs: POLL_MS, listen })
  const addresses = (await lookup('localhost', { all: true })).map(({ address }) => address)
  const seen = () => Promise.all(addresses.map((address) => seenName(service, address)))
  assert.deepEqual(
    await seen(),
    addresses.map(() => 'first'),
  )
  await copyFile(second.certificateFile, files.certificateFile)
  await copyFile(second.keyFile, files.keyFile)
  await until(async () => (await seen()).every((name) => name === 'second'), 'each is replaced')
  await service[Symbol.asyncDispose]()
  for (const address of addresses) await assert.rejects(seenName(service, address))
})

describe('a pair of files that makes no server', () => {
  const fault = async (files: TlsFiles) => {
    const { promise, resolve, reject } = Promise.withResolvers<{ kind: string; message: string }>()
    startTls(files).then((service) => service[Symbol.asyncDispose]().then(reject), resolve)
    return promise
  }

  it('is refused, with the file that has to change', async () => {
    const none = join(folder.path, 'none.pem')
    const open = await copies('open', first)
    await chmod(open.keyFile, 0o644)
    const empty = await copies('empty', first)
    await writeFile(empty.keyFile, '')
    const found = [
      await fault({ ...first, certificateFile: none }),
      await fault({ ...first, keyFile: second.keyFile }),
      await fault(empty),
      await fault({ ...first, certificateFile: folder.path }),
      await fault(open),
    ]
    assert.deepEqual(
      found.map(({ kind }) => kind),
      ['not-found', 'unfit', 'unfit', 'unfit', 'denied'],
    )
    const text = found.map(({ message }) => message).join('\n')
    assert.match(
      text,
      /none\.pem.*\n.*second-key\.pem is not the key of .*first\.pem.*\n.*empty\.k holds no private key/,
    )
  })
})
