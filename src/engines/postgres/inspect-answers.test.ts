import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { Secret } from '../../base/secret.ts'
import { NO_TLS } from '../../base/tls-settings.ts'
import { freePort } from '../../servers/free-port.ts'
import type { Endpoint, Inspection } from '../engine.ts'
import { createPostgresEngine } from './postgres-engine.ts'

const { signal } = new AbortController()
const engine = createPostgresEngine()

const AT: Endpoint = {
  role: 'primary',
  node: 'one',
  host: '127.0.0.1',
  port: 0,
  user: 'watcher',
  password: new Secret('a secret'),
  database: 'postgres',
  tls: NO_TLS,
}

function inspect(endpoint: Endpoint): Promise<Inspection> {
  return engine.inspect({ endpoints: [endpoint], systemIdentifier: null }, signal)
}

/** Listens while `work` runs; every connection is dealt with by `greet`. */
async function listening<T>(
  greet: (socket: Socket) => void,
  work: (port: number) => Promise<T>,
): Promise<T> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    // How the other side ends is what the test is about, not what this side thinks of it.
    socket.on('error', () => socket.destroy())
    greet(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  try {
    assert.ok(address && typeof address === 'object')
    return await work(address.port)
  } finally {
    for (const socket of open) socket.destroy()
    server.close()
  }
}

function message(type: string, body: Buffer): Buffer {
  const header = Buffer.alloc(5)
  header.write(type, 0, 'latin1')
  header.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([header, body])
}

const WELCOME = Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))])

/** The answer to a statement: one row of two text columns. */
function rowOf(version: string, number: string): Buffer {
  const columns = ['version', 'number'].map((name) =>
    Buffer.concat([
      Buffer.from(`${name}\0`),
      Buffer.alloc(6),
      Buffer.from([0, 0, 0, 25, 255, 255]),
      Buffer.from([255, 255, 255, 255, 0, 0]),
    ]),
  )
  const values = [version, number].map((value) => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(value.length)
    return Buffer.concat([length, Buffer.from(value)])
  })
  const two = Buffer.from([0, 2])
  return Buffer.concat([
    message('T', Buffer.concat([two, ...columns])),
    message('D', Buffer.concat([two, ...values])),
    message('C', Buffer.from('SELECT 1\0')),
    message('Z', Buffer.from('I')),
  ])
}

/** No server of these versions can be installed here: one that only tells its version stands in. */
function tellVersion(version: string, number: string, statements: string[]) {
  return (socket: Socket) => {
    socket.once('data', () => {
      socket.write(WELCOME)
      socket.on('data', (data) => {
        if (data[0] !== 0x51) return
        statements.push(data.toString('utf8', 5))
        socket.write(rowOf(version, number))
      })
    })
  }
}

describe('what answers at an address', () => {
  it('may be nothing: host, port and listen_addresses are named, for each way to reach it', async () => {
    const port = await freePort()
    for (const host of ['127.0.0.1', 'localhost']) {
      const { problems } = await inspect({ ...AT, host, port })
      assert.equal(problems.length, 1)
      assert.match(problems[0]?.problem ?? '', /ECONNREFUSED/)
      assert.match(problems[0]?.advice ?? '', /host and port, and listen_addresses/)
    }
    const { problems } = await inspect({ ...AT, host: 'nowhere.invalid', port })
    assert.match(problems[0]?.advice ?? '', /check the host's name/)
  })

  it('may be another kind of server, in plain text or when asked for TLS', async () => {
    const greet = (socket: Socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 400 No\r\n\r\n'))
    await listening(greet, async (port) => {
      for (const mode of ['disable', 'prefer', 'require'] as const) {
        const { problems, facts } = await inspect({ ...AT, port, tls: { ...NO_TLS, mode } })
        assert.equal(facts, null)
        assert.match(problems[0]?.advice ?? '', /check the port/, mode)
      }
    })
  })

  it('may be silent: it is waited for within a bound', async () => {
    await listening(
      () => undefined,
      async (port) => {
        const { problems } = await inspect({ ...AT, port })
        assert.equal(problems.length, 1)
        assert.match(problems[0]?.advice ?? '', /check host, port and the firewall/)
      },
    )
  })

  for (const [version, number] of [
    ['14.11', '140011'],
    ['12.22', '120022'],
    ['19.0', '190000'],
  ] as const) {
    it(`may be PostgreSQL ${version}, which is asked for no more than its version`, async () => {
      const statements: string[] = []
      await listening(tellVersion(version, number, statements), async (port) => {
        const { problems } = await inspect({ ...AT, port })
        assert.deepEqual(
          problems.map(({ server, problem }) => [server, problem]),
          [[`127.0.0.1:${port}`, `PostgreSQL ${version} is not supported`]],
        )
        assert.match(problems[0]?.advice ?? '', /15, 16, 17 and 18/)
        assert.equal(statements.length, 1)
      })
    })
  }

  it('may vanish half way: what it was asked is not blamed on the port', async () => {
    const greet = (socket: Socket) =>
      socket.once('data', () => {
        socket.write(WELCOME)
        socket.once('data', () => socket.destroy())
      })
    await listening(greet, async (port) => {
      const { problems, facts } = await inspect({ ...AT, port })
      assert.equal(facts, null)
      assert.equal(problems.length, 1)
      assert.match(problems[0]?.advice ?? '', /broke off while it was asked/)
    })
  })
})
