import { createHash } from 'node:crypto'
import { z } from 'zod'
import { newInstanceId } from '../base/ids.ts'
import { insertInstance, instanceOfToken } from '../catalogue/instances.ts'
import type { Category } from '../domain/instance.ts'
import { defineOperation } from '../wire/operation.ts'
import { flag, text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'engineVersions'>

/** The vendor's spellings differ in case. */
const CATEGORIES: ReadonlyMap<string, Category> = new Map([
  ['highavailability', 'HighAvailability'],
  ['basic', 'Basic'],
])

/**
 * Makes a local instance: servers that this service runs itself, on loopback. The reply comes at
 * once; the instance is Creating until its job is done. Sizes, networks and payment of the vendor's
 * call mean nothing here and are ignored.
 */
export const CreateDBInstance = defineOperation(
  {
    action: 'CreateDBInstance',
    summary: { en: 'Creates a local instance.', zh: '创建本地实例。' },
    access: 'write',
    resource: 'account',
    origin: 'vendor',
    parameters: z.object({
      Engine: text('PostgreSQL.', '数据库类型：PostgreSQL。'),
      EngineVersion: text('A major version, such as 18.', '数据库大版本，例如 18。'),
      Category: text('HighAvailability (default) or Basic.', '实例系列。').optional(),
      DBInstanceDescription: text('2–255 characters.', '实例描述。').optional(),
      ClientToken: text('Makes the call repeatable.', '保证请求幂等性。').optional(),
      DeletionProtection: flag('Refuse to delete it.', '是否开启释放保护。').optional(),
      DryRun: flag('Only checks the parameters.', '仅校验参数。').optional(),
    }),
    response: z.object({
      DBInstanceId: z.string().optional(),
      ConnectionString: z.string().optional(),
      DryRun: z.boolean().optional(),
      DryRunResult: z.boolean().optional(),
    }),
    errors: {
      'InvalidEngine.Malformed': {},
      'InvalidEngineVersion.Malformed': {},
      InvalidCategory: {},
      InvalidParameter: {},
      IdempotentParameterMismatch: {},
    },
  },
  async ({ parameters, requestId, now, refuse }, { catalogue, queue, engineVersions }: Needs) => {
    const { EngineVersion, ClientToken } = parameters
    if (parameters.Engine.toLowerCase() !== 'postgresql') {
      throw refuse('InvalidEngine.Malformed', 'this version creates PostgreSQL instances only')
    }
    if (!engineVersions.includes(EngineVersion)) {
      const known = engineVersions.join(', ')
      throw refuse('InvalidEngineVersion.Malformed', `installed here: ${known}`)
    }
    const category = CATEGORIES.get((parameters.Category ?? 'HighAvailability').toLowerCase())
    if (!category) throw refuse('InvalidCategory', 'HighAvailability or Basic')
    const description = parameters.DBInstanceDescription ?? ''
    if (description.length > 255) throw refuse('InvalidParameter', 'DBInstanceDescription')
    if (ClientToken && !/^[\x21-\x7e]{1,64}$/.test(ClientToken)) {
      throw refuse('InvalidParameter', 'ClientToken: 1–64 ASCII characters')
    }
    if (parameters.DryRun) return { DryRun: true, DryRunResult: true }
    const asked = ['PostgreSQL', EngineVersion, category, description].join('\n')
    const hash = createHash('sha256').update(asked).digest('hex')
    const id = newInstanceId()
    return catalogue.transaction(async (tx) => {
      const made = await insertInstance(tx, {
        id,
        engine: 'PostgreSQL',
        engineVersion: EngineVersion,
        category,
        type: 'Primary',
        origin: 'local',
        masterId: null,
        deletionProtection: parameters.DeletionProtection ?? false,
        releasedKeepPolicy: null,
        maxRateKib: null,
        description,
        createdAt: now,
        token: ClientToken ? { value: ClientToken, hash } : null,
      })
      if (!made) {
        const earlier = await instanceOfToken(tx, ClientToken ?? '')
        if (earlier?.hash !== hash) throw refuse('IdempotentParameterMismatch')
        return { DBInstanceId: earlier.id, ConnectionString: '127.0.0.1' }
      }
      const job = {
        kind: 'create-local-instance',
        instanceId: id,
        parameters: {},
        requestId,
      } as const
      await queue.enqueue(tx, job, now)
      return { DBInstanceId: id, ConnectionString: '127.0.0.1' }
    })
  },
)
