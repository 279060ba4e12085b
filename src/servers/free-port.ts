import { once } from 'node:events'
import { createServer } from 'node:net'
import { invariant } from '../base/fault.ts'

/** A TCP port of 127.0.0.1 that was free a moment ago; whoever uses it must cope with a loss. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  invariant(address !== null && typeof address === 'object', 'a TCP server has an address')
  return address.port
}
