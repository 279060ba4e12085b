import { text } from 'node:stream/consumers'
import { pause } from '../base/clock.ts'
import { Secret } from '../base/secret.ts'
import { NO_TLS } from '../base/tls-settings.ts'
import { createPostgresEngine } from '../engines/postgres/postgres-engine.ts'

/**
 * A program for tests: begins the backup of the server that its input names, says so, and reads on
 * so slowly that it never ends. It is there to be killed.
 */
const given = JSON.parse(await text(process.stdin))
const endpoint = {
  role: 'primary' as const,
  node: 'node-1',
  host: '127.0.0.1',
  port: given.port,
  user: given.user,
  password: new Secret(String(given.password)),
  database: 'postgres',
  tls: NO_TLS,
}
const { signal } = new AbortController()
const stream = await createPostgresEngine().openBackup(
  { endpoints: [endpoint], systemIdentifier: null },
  {
    scratchDirectory: given.scratchDirectory,
    label: 'endless',
    maxRateKib: null,
    checkpoint: 'fast',
  },
  signal,
)
for await (const entry of stream.entries) {
  if (entry.kind !== 'file') continue
  for await (const bytes of entry.content) {
    if (bytes.length > 0) process.stdout.write('reading\n')
    await pause(60_000)
  }
}
