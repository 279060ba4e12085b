import { z } from 'zod'
import { instant } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { Secret } from '../base/secret.ts'
import type { AccessKeys, Nonces } from '../wire/authentication.ts'
import type { Probe } from '../wire/health.ts'
import { defineOperation, type Operation } from '../wire/operation.ts'
import { splitIds, text, wholeNumber } from '../wire/parameters.ts'
import { type Server, startServer } from '../wire/server.ts'
import { BARE_SERVER } from './bare-server.ts'
import { ManualClock } from './manual-clock.ts'

/** The key that `startWireService` knows. */
export const TEST_KEY = { id: 'testAccessKeyId', secret: new Secret('testAccessKeySecret') }

/** Backup sets by instance; what `DeleteBackup` removes is no longer in it. */
export interface WireNeeds {
  readonly sets: Map<string, Set<string>>
  /** The addresses that sets were deleted from. */
  readonly deletedFrom: string[]
  /** Awaited by `RestartDBInstance`. */
  readonly release: Promise<void>
  /** How many calls `RestartDBInstance` has held so far. */
  readonly held: { count: number }
}

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: object
}

/** A server with a few operations over memory, for tests of what lies around operations. */
export interface WireService extends AsyncDisposable {
  readonly url: string
  readonly server: Server
  readonly needs: WireNeeds
  readonly lines: readonly LogLine[]
  /** Lets the call that `RestartDBInstance` holds go on. */
  readonly release: () => void
}

export async function startWireService(
  probes: readonly Probe[] = [],
  port = 0,
  changes: Partial<Parameters<typeof startServer<WireNeeds>>[0]> = {},
): Promise<WireService> {
  const lines: LogLine[] = []
  const held = Promise.withResolvers<void>()
  const needs: WireNeeds = {
    sets: new Map([['rm-uf6wjk5xxxxxxx', new Set(['324909958', '324909959'])]]),
    deletedFrom: [],
    release: held.promise,
    held: { count: 0 },
  }
  const server = await startServer({
    ...BARE_SERVER,
    operations: OPERATIONS,
    needs,
    keys: KEYS,
    nonces: memoryNonces(),
    clock: new ManualClock(instant(0)),
    probes,
    information: () => ({ Service: 'test' }),
    log: recordingLog(lines),
    listen: { ...BARE_SERVER.listen, port },
    ...changes,
  })
  return {
    url: server.url,
    server,
    needs,
    lines,
    release: held.resolve,
    [Symbol.asyncDispose]: async () => {
      held.resolve()
      await server[Symbol.asyncDispose]()
    },
  }
}

const DeleteBackup = defineOperation(
  {
    action: 'DeleteBackup',
    summary: { en: 'Deletes backup sets.', zh: '删除备份集。' },
    access: 'delete',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({
      DBInstanceId: text('The instance.', '实例 ID。'),
      BackupId: text('The sets.', '备份集 ID。'),
    }),
    response: z.object({}),
    errors: { 'InvalidDBInstanceName.NotFound': {}, 'InvalidBackupSetID.NotFound': {} },
  },
  async (
    { parameters, refuse, caller },
    { sets, deletedFrom }: Pick<WireNeeds, 'sets' | 'deletedFrom'>,
  ) => {
    const own = sets.get(parameters.DBInstanceId)
    if (own === undefined) throw refuse('InvalidDBInstanceName.NotFound')
    const ids = splitIds(parameters.BackupId, parameters.DBInstanceId)
    if (!ids.every((id) => own.has(id))) throw refuse('InvalidBackupSetID.NotFound')
    for (const id of ids) own.delete(id)
    deletedFrom.push(caller.address)
    return {}
  },
)

const DescribeRegions = defineOperation(
  {
    action: 'DescribeRegions',
    summary: { en: 'Lists the regions.', zh: '查询地域。' },
    access: 'read',
    resource: 'none',
    origin: 'vendor',
    parameters: z.object({
      AcceptLanguage: text('The language.', '语言。').optional(),
      Count: wholeNumber('How many.', '数量。', { min: 0, max: 9 }).default(1),
    }),
    response: z.object({
      Regions: z.object({
        RDSRegion: z.array(z.object({ RegionId: z.string(), ZoneId: z.string().optional() })),
      }),
    }),
    errors: {},
  },
  async ({ parameters }) => ({
    Regions: {
      RDSRegion: Array.from({ length: parameters.Count }, (_, index) => ({
        RegionId: `r${index}<&>`,
      })),
    },
  }),
)

const RestartDBInstance = defineOperation(
  {
    action: 'RestartDBInstance',
    summary: { en: 'Waits until the test lets it go.', zh: '等待测试放行。' },
    access: 'write',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({}),
    response: z.object({}),
    errors: {},
  },
  async (_request, { release, held }: Pick<WireNeeds, 'release' | 'held'>) => {
    held.count += 1
    await release
    return {}
  },
)

const DescribeTasks = defineOperation(
  {
    action: 'DescribeTasks',
    summary: { en: 'Fails.', zh: '失败。' },
    access: 'read',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({ TaskAction: text('How.', '方式。') }),
    response: z.object({ TotalRecordCount: z.number() }),
    errors: {},
  },
  async ({ parameters }) => {
    const { TaskAction } = parameters
    if (TaskAction === 'transient' || TaskAction === 'no-space') {
      throw new Fault(TaskAction, 'private detail')
    }
    if (parameters.TaskAction === 'reply') return { TotalRecordCount: Number.NaN }
    throw new Error('private detail')
  },
)

const CreateAccount = defineOperation(
  {
    action: 'CreateAccount',
    summary: { en: 'Takes a secret.', zh: '接收机密参数。' },
    access: 'write',
    resource: 'account',
    origin: 'vendor',
    parameters: z.object({
      AccountName: text('The name.', '名称。'),
      AccountPassword: text('The password.', '密码。', { secret: true }),
      PrimaryUrl: text('A secret by declaration alone.', '机密地址。', { secret: true }).optional(),
    }),
    response: z.object({ Characters: z.number() }),
    errors: {},
  },
  async ({ parameters }) => ({ Characters: parameters.AccountPassword.length }),
)

const OPERATIONS: readonly Operation<WireNeeds>[] = [
  CreateAccount,
  DeleteBackup,
  DescribeRegions,
  RestartDBInstance,
  DescribeTasks,
]

const KEYS: AccessKeys = {
  find: async (accessKeyId) =>
    accessKeyId === TEST_KEY.id ? { secret: TEST_KEY.secret, user: 'root' } : null,
}

function memoryNonces(): Nonces {
  const used = new Set<string>()
  return {
    use: async (accessKeyId, nonce) => {
      const key = `${accessKeyId} ${nonce}`
      if (used.has(key)) return false
      used.add(key)
      return true
    },
  }
}

function recordingLog(lines: LogLine[]): Logger {
  const record =
    (level: LogLine['level']) =>
    (message: string, fields: object = {}): void => {
      lines.push({ level, message, fields })
    }
  const log: Logger = {
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
    child: () => log,
  }
  return log
}
