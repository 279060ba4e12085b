import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { chmod, copyFile, readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { freePort } from '../../src/servers/free-port.ts'
import {
  type Authority,
  createAuthority,
  type IssuedCertificate,
} from '../../src/testing/certificates.ts'
import { ServiceProcess } from '../../src/testing/service-process.ts'
import { type TemporaryFolder, temporaryFolder } from '../../src/testing/temporary-folder.ts'

const PAGE = new URL('../../docs/operations/proxy.md', import.meta.url)

let folder: TemporaryFolder
let authority: Authority
let issued: IssuedCertificate
before(async () => {
  folder = await temporaryFolder('exposure')
  authority = await createAuthority(folder.path, 'authority')
  issued = await authority.issue('holdfast', 'DNS:localhost,IP:127.0.0.1')
  const certificate = await readFile(authority.certificateFile, 'utf8')
  setDefaultCACertificates([...getCACertificates('default'), certificate])
})
after(async () => {
  await folder[Symbol.asyncDispose]()
})

describe('a service with a certificate', () => {
  let service: ServiceProcess
  before(async () => {
    service = await ServiceProcess.open('https', {
      HOLDFAST_TLS_CERT: issued.certificateFile,
      HOLDFAST_TLS_KEY: issued.keyFile,
      HOLDFAST_CA_CERT: authority.certificateFile,
    })
  })
  after(async () => {
    await service[Symbol.asyncDispose]()
  })

  it('is found by client commands, by its own settings and by a name', async () => {
    assert.match(service.endpoint, /^https:/)
    assert.match(await service.succeed('call', 'DescribeRegions'), /"RegionId": "local"/)
    const named = { HOLDFAST_ENDPOINT: service.endpoint.replace('127.0.0.1', 'localhost') }
    assert.equal((await service.run('call', 'DescribeRegions', named)).code, 0)
  })

  it('is not trusted without its authority, and no file but one of certificates counts as one', async () => {
    const without = await service.run('call', 'DescribeRegions', { HOLDFAST_CA_CERT: '' })
    assert.equal(without.code, 1)
    assert.match(without.stderr, /no answer from https:.*certificate.*\n.*HOLDFAST_CA_CERT/)
    const nonsense = { HOLDFAST_CA_CERT: issued.keyFile }
    const refused = await service.run('call', 'DescribeRegions', nonsense)
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /HOLDFAST_CA_CERT: .* holds no certificate in PEM form/)
  })

  it('answers no plain HTTP', async () => {
    await assert.rejects(fetch(service.endpoint.replace('https', 'http')))
  })

  it('shows its key to nobody, and the certificate in the log', async () => {
    const log = await service.log()
    assert.match(log, /"message":"certificate in use"/)
    assert.doesNotMatch(log, /PRIVATE KEY/)
  })
})

describe('listening beyond loopback', () => {
  let service: ServiceProcess
  before(async () => {
    const changed = { HOLDFAST_LISTEN: `0.0.0.0:${await freePort()}`, HOLDFAST_LISTENN: 'x' }
    service = await ServiceProcess.open('plain', changed, ['--allow-plain-http'])
  })
  after(async () => {
    await service[Symbol.asyncDispose]()
  })

  it('is refused without TLS, together with every other problem', async () => {
    const open = join(folder.path, 'open-key.pem')
    await copyFile(issued.keyFile, open)
    await chmod(open, 0o644)
    const refusal = async (changed: Readonly<Record<string, string>>) => {
      const { code, stderr } = await service.run('serve', changed)
      assert.equal(code, 1)
      return stderr
    }
    const plain = await refusal({
      HOLDFAST_METRICS_LISTEN: '0.0.0.0:1',
      HOLDFAST_REGION: 'Not One',
    })
    assert.match(plain, /HOLDFAST_LISTEN is beyond loopback.*HOLDFAST_TLS_CERT.*--allow-plain-http/)
    assert.match(plain, /HOLDFAST_METRICS_LISTEN is beyond loopback/)
    assert.match(plain, /HOLDFAST_REGION is not a region name/)
    const readable = { HOLDFAST_TLS_CERT: issued.certificateFile, HOLDFAST_TLS_KEY: open }
    assert.match(await refusal(readable), /open-key\.pem can be read by others; chmod 600/)
  })

  it('is warned of at every start, like a misspelt setting, on the terminal and in the log', async () => {
    await service.stop('SIGTERM')
    await service.start()
    const lines = (await service.log()).split('\n')
    for (const sentence of [
      'HOLDFAST_LISTEN is beyond loopback without TLS',
      'HOLDFAST_LISTENN is no',
    ]) {
      assert.equal(lines.filter((line) => line.startsWith(`Warning: ${sentence}`)).length, 2)
      const logged = lines.filter((line) => line.includes(`"warning":"${sentence}`))
      assert.equal(logged.length, 2)
    }
  })

  it('opens nothing to who proves nothing but the health, and serves client commands', async () => {
    const get = async (path: string) => (await fetch(`${service.endpoint}${path}`)).status
    assert.equal(await get('/healthz'), 200)
    assert.equal(await get('/'), 400)
    assert.equal(await get('/metrics'), 403)
    assert.equal((await service.run('call', 'DescribeRegions')).code, 0)
  })
})

describe('a service behind a proxy, as the page says', () => {
  let service: ServiceProcess
  let proxy: Proxy
  before(async () => {
    const listen = `127.0.0.1:${await freePort()}`
    const settings = Object.fromEntries(
      block('environment').map((line) => line.split('=') as [string, string]),
    )
    assert.deepEqual(Object.keys(settings), ['HOLDFAST_LISTEN', 'HOLDFAST_TRUSTED_PROXIES'])
    service = await ServiceProcess.open('proxy', { ...settings, HOLDFAST_LISTEN: listen })
    proxy = await startProxy(service.endpoint)
  })
  after(async () => {
    await proxy[Symbol.asyncDispose]()
    await service[Symbol.asyncDispose]()
  })

  it('takes the commands of clients that trust the authority of the proxy', async () => {
    const lines = block('client')
    const names = lines.map((line) => /^export (\w+)=/.exec(line)?.[1])
    assert.deepEqual(names, ['HOLDFAST_ENDPOINT', 'HOLDFAST_CA_CERT', undefined])
    const [program, ...words] = (lines.at(-1) ?? '').split(' ')
    assert.equal(program, 'holdfast')
    const { code, stdout, stderr } = await service.run(...words, {
      HOLDFAST_ENDPOINT: proxy.url,
      HOLDFAST_CA_CERT: authority.certificateFile,
    })
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /"RegionId": "local"/)
    const calls = (await service.log())
      .split('\n')
      .filter((line) => line.includes('DescribeRegions'))
    assert.match(calls.at(-1) ?? '', /"address":"203\.0\.113\.7"/)
  })

  it('links from an error to the page of its code at the proxy', async () => {
    const reply = await fetch(`${proxy.url}/?Action=DescribeRegions`)
    const { Recommend } = (await reply.json()) as Record<string, string>
    assert.ok(Recommend?.startsWith(`${proxy.url}/troubleshoot?`), Recommend)
    assert.equal((await fetch(Recommend ?? '')).status, 200)
  })

  it('shows nothing else to who proves nothing', async () => {
    assert.equal((await fetch(`${proxy.url}/healthz`)).status, 200)
    assert.equal((await fetch(`${proxy.url}/`)).status, 400)
    assert.equal((await fetch(`${proxy.url}/metrics`)).status, 403)
  })

  it('refuses calls whose host was changed, and has no place for a prefix', async () => {
    const ask = () =>
      service.run('call', 'DescribeRegions', {
        HOLDFAST_ENDPOINT: proxy.url,
        HOLDFAST_CA_CERT: authority.certificateFile,
      })
    proxy.host = 'localhost'
    assert.match((await ask()).stdout, /SignatureDoesNotMatch/)
    proxy.host = null
    proxy.prefix = '/backup'
    assert.match((await ask()).stdout, /InvalidPath\.NotFound/)
    proxy.prefix = ''
  })
})

/** The lines of the page's block that is marked so. */
function block(mark: string): readonly string[] {
  const page = readFileSync(PAGE, 'utf8')
  const [, text] = new RegExp(`\`\`\`sh ${mark}\\n([^\`]+)\n\`\`\``).exec(page) ?? []
  assert.ok(text, `the page has a block ${mark}`)
  return text.split('\n')
}

interface Proxy extends AsyncDisposable {
  readonly url: string
  /** What it sends as Host; null: what the client sent. */
  host: string | null
  /** What it puts before each path. */
  prefix: string
}

/** Does what the page's nginx does: ends TLS, and passes everything else on as it came. */
async function startProxy(upstream: string): Promise<Proxy> {
  const behaviour = { host: null as string | null, prefix: '' }
  const [cert, key] = await Promise.all([
    readFile(issued.certificateFile),
    readFile(issued.keyFile),
  ])
  const server = createServer({ cert, key }, (incoming, outgoing) => {
    const headers = {
      ...incoming.headers,
      host: behaviour.host ?? incoming.headers.host,
      // The client claims the first; the proxy appends whom it sees.
      'x-forwarded-for': '198.51.100.1, 203.0.113.7',
      'x-forwarded-proto': 'https',
    }
    const path = `${behaviour.prefix}${incoming.url}`
    const asked = request(`${upstream}${path}`, { method: incoming.method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(outgoing)
    })
    asked.on('error', () => outgoing.destroy())
    incoming.pipe(asked)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return Object.assign(behaviour, {
    url: `https://localhost:${address.port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}
