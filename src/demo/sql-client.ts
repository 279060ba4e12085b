import { Client } from 'pg'
import type { Secret } from '../base/secret.ts'

const CONNECT_TIMEOUT_MS = 10_000

/** Connects, works, disconnects. When `signal` aborts, what is under way fails. */
export async function withDatabase<T>(
  url: Secret<string>,
  signal: AbortSignal,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const client = new Client({
    connectionString: url.reveal(),
    application_name: 'holdfast demo',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  })
  // A connection that breaks also fails the query under way, which reports it.
  client.on('error', () => undefined)
  const disconnect = () => {
    // The query that is cut off reports why.
    client.end().catch(() => undefined)
  }
  signal.addEventListener('abort', disconnect, { once: true })
  try {
    await client.connect()
    return await work(client)
  } finally {
    signal.removeEventListener('abort', disconnect)
    await client.end()
  }
}
