import { SILENT } from '../src/base/logger.ts'
import { Secret } from '../src/base/secret.ts'
import { findAccessKey, putOnlyAccessKey, takeNonce } from '../src/catalogue/access.ts'
import { DeleteBackup } from '../src/operations/delete-backup.ts'
import { UndeleteBackup } from '../src/operations/undelete-backup.ts'
import { BARE_SERVER } from '../src/testing/bare-server.ts'
import { callApi } from '../src/wire/client.ts'
import { startServer } from '../src/wire/server.ts'
import type { FilledCatalogue } from './filled-catalogue.ts'

export interface SignedCalls extends AsyncDisposable {
  /** Fails unless the call succeeds. */
  readonly call: (action: string, instanceId: string, setIds: readonly number[]) => Promise<void>
}

const KEY = { id: 'benchAccessKeyId', secret: 'benchAccessKeySecret' }

/**
 * The HTTP server over a filled catalogue, and a client that signs: keys and nonces are in the
 * catalogue, as in the service, but for the sealing of the key.
 */
export async function openSignedCalls(
  filled: FilledCatalogue,
  undeleteWindowMs: number,
): Promise<SignedCalls> {
  const { catalogue, now } = filled
  const secretSealed = Buffer.from(KEY.secret)
  await catalogue.transaction((tx) =>
    putOnlyAccessKey(tx, { accessKeyId: KEY.id, secretSealed, userName: 'root' }),
  )
  const server = await startServer({
    ...BARE_SERVER,
    operations: [DeleteBackup, UndeleteBackup],
    needs: filled.needs(undeleteWindowMs),
    keys: {
      find: async (id) => {
        const key = await catalogue.transaction((tx) => findAccessKey(tx, id))
        const secret = Buffer.from(key?.secretSealed ?? []).toString()
        return key && { secret: new Secret(secret), user: key.userName }
      },
    },
    nonces: {
      use: (id, nonce, expiresAt) =>
        catalogue.transaction((tx) => takeNonce(tx, id, nonce, expiresAt)),
    },
    clock: { now: () => now },
    probes: [],
    information: () => ({}),
    log: SILENT,
  })
  return {
    async call(action, instanceId, setIds) {
      const { status, body } = await callApi({
        endpoint: server.url,
        accessKeyId: KEY.id,
        accessKeySecret: new Secret(KEY.secret),
        action,
        parameters: { DBInstanceId: instanceId, BackupId: setIds.join(',') },
        format: 'JSON',
        signal: AbortSignal.timeout(30_000),
      })
      if (status !== 200) throw new Error(`${action}: ${body}`)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
