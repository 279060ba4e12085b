import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import { invariant } from '../base/fault.ts'
import { freePort } from '../servers/free-port.ts'

/** One request as it came in. */
export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** How the receiver treats what comes in: with a status, with silence, or with a reset. */
export type Manner = number | 'hang' | 'reset'

/** A real HTTP server that notes every request in the order of arrival, whatever it answers. */
export class EventReceiver implements AsyncDisposable {
  readonly received: Received[] = []
  readonly port: number
  manner: Manner = 204
  #server: Server | null = null

  private constructor(port: number) {
    this.port = port
  }

  static async open(): Promise<EventReceiver> {
    const receiver = new EventReceiver(await freePort())
    await receiver.listen()
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** The events that came to `/events`, repeated ones too. */
  get events(): readonly Record<string, unknown>[] {
    return this.received
      .filter(({ url }) => url === '/events')
      .map(({ body }) => JSON.parse(body) as Record<string, unknown>)
  }

  /** Listens, again after `close`, on the same port. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8')
      request.on('data', (text: string) => {
        body += text
      })
      request.on('end', () => {
        const { method = '', url = '', headers } = request
        this.received.push({ method, url, headers, body })
        this.#answer(response)
      })
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', reject)
    server.listen(this.port, '127.0.0.1', resolve)
    await promise
    this.#server = server
  }

  /** Ends every connection and stops listening. */
  async close(): Promise<void> {
    const server = this.#server
    invariant(server, 'the receiver listens')
    this.#server = null
    const { promise, resolve } = Promise.withResolvers<void>()
    server.close(() => resolve())
    server.closeAllConnections()
    await promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server) await this.close()
  }

  #answer(response: ServerResponse): void {
    if (this.manner === 'hang') return
    if (this.manner === 'reset') {
      response.socket?.resetAndDestroy()
      return
    }
    if (this.manner >= 300 && this.manner < 400) response.setHeader('location', '/elsewhere')
    response.writeHead(this.manner).end()
  }
}
