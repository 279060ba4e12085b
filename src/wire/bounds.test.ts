import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { pause } from '../base/clock.ts'
import { until } from '../testing/service-process.ts'
import { sendRaw, signedV1, testCall } from '../testing/signed-request.ts'
import { startWireService, type WireService } from '../testing/wire-service.ts'
import { callApi } from './client.ts'
import type { Limits } from './listener.ts'

const FORM = 'content-type: application/x-www-form-urlencoded\r\n'

function start(limits: Partial<Limits> = {}): Promise<WireService> {
  return startWireService([], 0, { limits })
}

/** A connection that is read to its end, whoever ends it; what it sends is up to the test. */
function open({ server }: WireService): { socket: Socket; received: Promise<string> } {
  const socket = connect(server.port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (piece) => {
    text += piece
  })
  // A reset is an end too.
  socket.on('error', () => {})
  return { socket, received: once(socket, 'close').then(() => text) }
}

/** Sends a byte now and then, as long as the server keeps the connection. */
async function trickle(socket: Socket, everyMs: number): Promise<void> {
  while (!socket.destroyed) {
    socket.write('x')
    await pause(everyMs)
  }
}

const QUICK = { headersTimeoutMs: 200, requestTimeoutMs: 400, checkMs: 50 }

describe('slow clients', () => {
  it('are refused when their headers do not come to an end', async () => {
    await using service = await start(QUICK)
    const { socket, received } = open(service)
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nx-slow: ')
    await Promise.all([received, trickle(socket, 20)])
    assert.match(await received, /^HTTP\/1\.1 400 [\s\S]*It did not arrive in time\./)
  })

  it('are closed when they send nothing at all', async () => {
    await using service = await start(QUICK)
    await open(service).received
    assert.equal((await fetch(`${service.url}/healthz`)).status, 200)
  })

  it('are refused when their body does not come to an end, however it is sent', async () => {
    await using service = await start(QUICK)
    for (const [length, first] of [
      ['content-length: 5000', 'a'],
      ['transfer-encoding: chunked', '1000\r\n'],
    ]) {
      const { socket, received } = open(service)
      socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${FORM}${length}\r\n\r\n${first}`)
      await Promise.all([received, trickle(socket, 20)])
      assert.match(await received, /^HTTP\/1\.1 400 [\s\S]*It did not arrive in time\./)
    }
  })

  it('are closed between two requests, and do not keep the server from stopping', async () => {
    const service = await start({ keepAliveMs: 100 })
    const { socket, received } = open(service)
    socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    assert.match(await received, /^HTTP\/1\.1 200 /)
    const idle = open(service)
    idle.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(idle.socket, 'data')
    await service[Symbol.asyncDispose]()
    await idle.received
  })

  it('are closed when nothing moves on the connection', async () => {
    await using service = await start({ idleTimeoutMs: 100 })
    const running = callApi(testCall(service.url, 'RestartDBInstance', {}))
    await assert.rejects(running, { kind: 'transient' })
  })
})

describe('many connections', () => {
  it('leave room for others: idle ones are closed when there is none', async () => {
    await using service = await start({ connectionsMax: 3 })
    const idle = [open(service), open(service), open(service)]
    for (const { socket } of idle) {
      socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
      await once(socket, 'data')
    }
    await open(service).received
    await Promise.all(idle.map(({ received }) => received))
    assert.equal((await fetch(`${service.url}/healthz`)).status, 200)
  })

  it('are turned away while all others are at work, whose answers still come', async () => {
    await using service = await start({ connectionsMax: 2 })
    const running = [0, 1].map(() => callApi(testCall(service.url, 'RestartDBInstance', {})))
    await until(async () => service.needs.held.count === 2, 'both calls run')
    assert.equal(await open(service).received, '')
    service.release()
    assert.deepEqual(
      (await Promise.all(running)).map(({ status }) => status),
      [200, 200],
    )
  })
})

describe('large requests', () => {
  it('are taken up to 1 MiB of body and refused above, with and without a length', async () => {
    await using service = await start()
    const post = async (bytes: number, chunked: boolean) => {
      const body = `Action=${'x'.repeat(bytes - 'Action='.length)}`
      const framing = chunked
        ? ['transfer-encoding: chunked', `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n`]
        : [`content-length: ${bytes}`, body]
      const head = `POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${FORM}${framing[0]}\r\n\r\n`
      return sendRaw(service.url, `${head}${framing[1]}`)
    }
    for (const chunked of [false, true]) {
      assert.match(await post(2 ** 20, chunked), /"MissingParameter"/)
      assert.match(await post(2 ** 20 + 1, chunked), /It is larger than 1048576 bytes/)
    }
  })

  it('are taken with 1,000 parameters and refused with more, address and body together', async () => {
    await using service = await start()
    const ask = async (count: number) => {
      const names = Array.from({ length: count }, (_, index) => `P${index}`)
      const extra = Object.fromEntries(names.map((name) => [name, 'v']))
      const { method, url, headers, body } = signedV1(service.url, extra, {
        inBody: names.slice(0, count / 2),
      })
      const reply = await fetch(url, { method, headers, body })
      return [reply.status, (await reply.text()).includes('more than 1000 parameters')]
    }
    // Nine more belong to every call.
    assert.deepEqual(await ask(991), [200, false])
    assert.deepEqual(await ask(992), [400, true])
  })

  it('fill 32 places and no more, which keeps no small call from being answered', async () => {
    await using service = await start()
    const begin = (framing: string) => {
      const opened = open(service)
      opened.socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${FORM}${framing}\r\n\r\n`)
      return opened
    }
    const many = Array.from({ length: 31 }, () => begin('content-length: 70000'))
    many.push(begin('transfer-encoding: chunked'))
    const refused: string[] = []
    const tries = async () => {
      const { socket, received } = begin('content-length: 70000')
      const answered = once(socket, 'data').then(() => received)
      refused.push(await Promise.race([answered, pause(200).then(() => '')]))
      socket.destroy()
      return refused.at(-1) !== ''
    }
    await until(tries, 'all places are taken')
    assert.match(refused.at(-1) ?? '', /^HTTP\/1\.1 503 [\s\S]*Too many large requests at once/)
    assert.ok(!service.lines.some(({ level }) => level === 'error'), 'nobody has to act')
    assert.equal((await callApi(testCall(service.url, 'DescribeRegions', {}))).status, 200)
    for (const { socket } of many) socket.destroy()
    await Promise.all(many.map(({ received }) => received))
    const body = `${'x'.repeat(70_000)}=1`
    const again = async () => {
      const reply = await fetch(service.url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
      })
      return reply.status === 400
    }
    await until(again, 'a place is free again')
  })

  it('are refused when their headers exceed 64 KiB', async () => {
    await using service = await start()
    const header = (bytes: number) =>
      sendRaw(
        service.url,
        `GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-y: ${'z'.repeat(bytes)}\r\n\r\n`,
      )
    assert.match(await header(60_000), /^HTTP\/1\.1 200 /)
    assert.match(await header(70_000), /^HTTP\/1\.1 400 [\s\S]*headers exceed 65536 bytes/)
  })
})
