import { systemCode } from '../base/fault.ts'
import type { ServiceSetup } from './service-process.ts'
import { bodyOf, createSignedApi } from './signed-api.ts'

/** Something that sends DeleteBackup. */
export interface DeletionClient {
  /** Who it is, for people. */
  readonly name: string
  deleteBackup(instanceId: string, ids: readonly string[]): Promise<DeletionReply>
}

/** `code` is the error's; null when the sets were deleted. */
export interface DeletionReply {
  readonly status: number
  readonly code: string | null
  readonly requestId: string
}

/** The vendor's npm SDK; the project's own client where that development dependency is missing. */
export async function openDeletionClient(
  setup: ServiceSetup,
  signal: AbortSignal,
): Promise<DeletionClient> {
  return (await openOfficialSdk(setup)) ?? openOwnClient(setup, signal)
}

async function openOfficialSdk(setup: ServiceSetup): Promise<DeletionClient | null> {
  const sdk = await importSdk()
  if (sdk === null) return null
  // Both packages are CommonJS: the class is the `default` of what `import` calls the default.
  const { default: Client, DeleteBackupRequest } = sdk.rds.default
  const client = new Client(
    new sdk.core.$OpenApiUtil.Config({
      accessKeyId: setup.accessKeyId,
      accessKeySecret: setup.accessKeySecret.reveal(),
      endpoint: new URL(setup.endpoint).host,
      protocol: 'http',
      regionId: 'local',
    }),
  )
  return {
    name: 'the official SDK (@alicloud/rds20140815)',
    deleteBackup: async (instanceId, ids) => {
      const request = new DeleteBackupRequest({
        DBInstanceId: instanceId,
        backupId: ids.join(','),
      })
      try {
        const reply = await client.deleteBackup(request)
        return {
          status: reply.statusCode ?? 0,
          code: null,
          requestId: reply.body?.requestId ?? '',
        }
      } catch (error) {
        return refusalOf(error)
      }
    },
  }
}

/** The SDK throws refusals as errors with the reply's fields; anything else is thrown on. */
function refusalOf(error: unknown): DeletionReply {
  const { statusCode, code, requestId } = error as Record<string, unknown>
  if (typeof statusCode !== 'number' || typeof code !== 'string') throw error
  return { status: statusCode, code, requestId: String(requestId) }
}

async function importSdk() {
  try {
    return {
      rds: await import('@alicloud/rds20140815'),
      core: await import('@alicloud/openapi-core'),
    }
  } catch (error) {
    if (systemCode(error) === 'ERR_MODULE_NOT_FOUND') return null
    throw error
  }
}

function openOwnClient(setup: ServiceSetup, signal: AbortSignal): DeletionClient {
  const api = createSignedApi(setup, signal)
  return {
    name: "the project's own client (the official SDK is not installed)",
    deleteBackup: async (instanceId, ids) => {
      const asked = { DBInstanceId: instanceId, BackupId: ids.join(',') }
      const reply = await api.call('DeleteBackup', asked)
      const { Code, RequestId } = bodyOf(reply)
      return {
        status: reply.status,
        code: reply.status < 400 ? null : String(Code),
        requestId: String(RequestId),
      }
    },
  }
}
