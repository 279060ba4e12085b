import { pause } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import { type CallReply, callApi } from '../wire/client.ts'
import type { ServiceSetup } from './service-process.ts'

/** A JSON object of the API, read loosely: this is a client like any other. */
export type Reply = Readonly<Record<string, unknown>>

/** The service as its clients reach it: signed HTTP. */
export interface SignedApi {
  /** One call, whatever the answer. */
  call(action: string, parameters: Reply, format?: 'JSON' | 'XML'): Promise<CallReply>
  /** One call that must succeed. */
  ask(action: string, parameters: Reply): Promise<Reply>
}

/** A backup set as DescribeBackups lists it. */
export interface ListedSet {
  readonly id: string
  readonly endTime: string
  readonly sizeBytes: number
  readonly newBytes: number
  readonly storeStatus: string
  readonly node: string
}

/** What PreviewDeleteBackup foretells. */
export interface Preview {
  readonly deletable: boolean
  readonly releasedBytes: number
  readonly freedBytes: number
  readonly exact: boolean
  readonly remainingCount: number
  readonly sets: readonly Reply[]
}

const POLL_MS = 200
const BACKUP_TIMEOUT_MS = 300_000

export function createSignedApi(setup: ServiceSetup, signal: AbortSignal): SignedApi {
  const { endpoint, accessKeyId, accessKeySecret } = setup
  const call: SignedApi['call'] = (action, given, format = 'JSON') => {
    const pairs = Object.entries(given).map(([name, value]) => [name, String(value)] as const)
    const parameters = Object.fromEntries(pairs)
    return callApi({
      ...{ endpoint, accessKeyId, accessKeySecret, action, parameters, format, signal },
    })
  }
  return {
    call,
    ask: async (action, parameters) => {
      const reply = await call(action, parameters)
      const body = bodyOf(reply)
      if (reply.status < 400) return body
      throw new Fault('denied', `${action}: ${body['Code']}: ${body['Message']}`)
    },
  }
}

/** The parsed body of a JSON reply; empty for any other. */
export function bodyOf(reply: CallReply): Reply {
  return (reply.parsed ?? {}) as Reply
}

/** Takes a set and waits for it; gives its ID. */
export async function takeSet(
  api: SignedApi,
  instanceId: string,
  onProgress: (text: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const { BackupJobId } = await api.ask('CreateBackup', { DBInstanceId: instanceId })
  const deadline = performance.now() + BACKUP_TIMEOUT_MS
  while (performance.now() < deadline) {
    const asked = { DBInstanceId: instanceId, BackupJobId }
    const [job] = itemsOf(await api.ask('DescribeBackupTasks', asked), 'BackupJob')
    const status = job?.['BackupStatus']
    if (status === 'Finished') return String(job?.['BackupId'])
    if (status === 'Failed')
      throw new Fault('unfit', `the backup failed: ${job?.['FailureReason']}`)
    onProgress(`backup job ${BackupJobId}: ${status} ${job?.['Process']} %`)
    await pause(POLL_MS, signal)
  }
  throw new Fault('transient', `backup job ${BackupJobId} does not end`)
}

/** The sets of an instance, oldest first. */
export async function listSets(api: SignedApi, instanceId: string): Promise<readonly ListedSet[]> {
  const reply = await api.ask('DescribeBackups', { DBInstanceId: instanceId, PageSize: 100 })
  return itemsOf(reply, 'Backup')
    .map((set) => ({
      id: String(set['BackupId']),
      endTime: String(set['BackupEndTime']),
      sizeBytes: Number(set['BackupSize']),
      newBytes: Number(set['NewBytes']),
      storeStatus: String(set['StoreStatus']),
      node: String(set['HostInstanceID']),
    }))
    .toReversed()
}

export async function previewDeletion(
  api: SignedApi,
  instanceId: string,
  ids: readonly string[],
): Promise<Preview> {
  const asked = { DBInstanceId: instanceId, BackupId: ids.join(',') }
  const reply = await api.ask('PreviewDeleteBackup', asked)
  return {
    deletable: reply['Deletable'] === true,
    releasedBytes: Number(reply['ReleasedBytes']),
    freedBytes: Number(reply['FreedBytes']),
    exact: reply['BytesExact'] === true,
    remainingCount: Number(reply['RemainingBackupCount']),
    sets: itemsOf(reply, 'Backup'),
  }
}

/** The attributes of an instance. */
export async function describeInstance(api: SignedApi, instanceId: string): Promise<Reply> {
  const reply = await api.ask('DescribeDBInstanceAttribute', { DBInstanceId: instanceId })
  const [attributes] = itemsOf(reply, 'DBInstanceAttribute')
  if (!attributes) throw new Fault('not-found', `there is no instance ${instanceId}`)
  return attributes
}

export function itemsOf(reply: Reply, name: string): readonly Reply[] {
  const items = reply['Items']
  const list = typeof items === 'object' && items !== null ? (items as Reply)[name] : null
  return Array.isArray(list) ? list : []
}
