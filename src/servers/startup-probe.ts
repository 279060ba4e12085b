import { connect } from 'node:net'

/** What a server answered to a startup packet. */
export type StartupAnswer = 'accepts' | 'starting' | 'silent'

const ANSWER_TIMEOUT_MS = 3000
/** Protocol 3.0 (PostgreSQL manual, "Message Formats": StartupMessage). */
const PROTOCOL_VERSION = 0x00030000
const CANNOT_CONNECT_NOW = '57P03'

/**
 * Asks a server, as `pg_isready` does, whether it lets clients in: any answer but "cannot connect
 * now" means yes, be it a request for a password or a refusal of this very user.
 */
export function askStartup(
  address: { readonly path: string } | { readonly host: string; readonly port: number },
  user: string,
): Promise<StartupAnswer> {
  return new Promise((resolve) => {
    const socket = connect(address)
    const settle = (answer: StartupAnswer) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => settle('silent'))
    socket.once('error', () => settle('silent'))
    socket.once('close', () => settle('silent'))
    socket.once('connect', () => socket.write(startupMessage(user)))
    socket.once('data', (bytes: Buffer) => settle(readAnswer(bytes)))
  })
}

function readAnswer(bytes: Buffer): StartupAnswer {
  if (bytes[0] === 0x52) return 'accepts'
  if (bytes[0] !== 0x45) return 'silent'
  return bytes.includes(`C${CANNOT_CONNECT_NOW}\0`) ? 'starting' : 'accepts'
}

function startupMessage(user: string): Buffer {
  const body = Buffer.from(`user\0${user}\0database\0postgres\0\0`)
  const header = Buffer.alloc(8)
  header.writeInt32BE(body.length + 8, 0)
  header.writeInt32BE(PROTOCOL_VERSION, 4)
  return Buffer.concat([header, body])
}
