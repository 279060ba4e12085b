import { z } from 'zod'
import type { InstanceId } from '../base/ids.ts'
import { newInstanceId } from '../base/ids.ts'
import type { Sealer } from '../base/sealing.ts'
import { Secret } from '../base/secret.ts'
import { beginAttachTask } from '../catalogue/attach-tasks.ts'
import { insertAttachedServer } from '../catalogue/attached-servers.ts'
import type { Transaction } from '../catalogue/database.ts'
import { insertInstance, lockLiveInstance } from '../catalogue/instances.ts'
import type { ServerProblem } from '../domain/attaching.ts'
import { MAX_RATE_KIB } from '../domain/instance.ts'
import { defineOperation } from '../wire/operation.ts'
import { choice, flag, text, wholeNumber } from '../wire/parameters.ts'
import { readServers, type ServerToAttach } from './attach-request.ts'
import type { OperationParts } from './parts.ts'

type Needs = Pick<OperationParts, 'catalogue' | 'queue' | 'sealer'>

const ID = /^[a-z][a-z0-9-]{1,61}[a-z0-9]$/

/**
 * Attaches servers that someone else runs: the instance is Creating until its servers have been
 * looked at, and gone again when something stands in the way; DescribeAttachTask tells what. A
 * standby makes it HighAvailability. Credentials are sealed at rest and never shown again.
 */
export const AttachDBInstance = defineOperation(
  {
    action: 'AttachDBInstance',
    summary: { en: 'Attaches servers that run elsewhere.', zh: '接入已有的数据库服务器。' },
    access: 'write',
    resource: 'account',
    origin: 'holdfast',
    grant: 'by-name',
    parameters: z.object({
      Engine: text('PostgreSQL.', '数据库类型：PostgreSQL。'),
      DBInstanceId: text('The ID to use.', '实例 ID。').optional(),
      DBInstanceDescription: text('At most 255 characters.', '实例描述。').optional(),
      DBInstanceType: choice(
        ['Primary', 'Readonly', 'Guard'],
        'Primary, Readonly or Guard; the last two follow MasterDBInstanceId.',
        '实例类型。',
        { error: 'InvalidParameter' },
      ).optional(),
      MasterDBInstanceId: text('Of a Readonly or Guard instance.', '主实例 ID。').optional(),
      PrimaryUrl: text('postgresql://user@host:port/database?sslmode=…', '主库地址。', {
        secret: true,
      }),
      StandbyUrls: text('The same of each standby, separated by blanks.', '备库地址，空格分隔。', {
        secret: true,
      }).optional(),
      Password: text('For URLs without one.', '密码。', { secret: true }).optional(),
      SslRootCert: text('PEM; who may sign the certificates.', '根证书（PEM）。').optional(),
      SslCert: text('PEM; the client certificate.', '客户端证书（PEM）。').optional(),
      SslKey: text('PEM; its key.', '客户端私钥（PEM）。', { secret: true }).optional(),
      AllowPlainText: flag('Also beyond this host.', '允许明文连接。').optional(),
      MaxRate: wholeNumber('kB per second, 32–1048576.', '备份限速（kB/s）。', {
        ...MAX_RATE_KIB,
        error: 'InvalidParameter',
      }).optional(),
      DeletionProtection: flag('Refuse to detach it.', '是否开启释放保护。').optional(),
    }),
    response: z.object({ DBInstanceId: z.string() }),
    errors: {
      'InvalidEngine.Malformed': {},
      InvalidParameter: {},
      'InvalidDBInstanceName.NotFound': {},
      IncorrectDBInstanceState: {},
      'InvalidDBInstanceId.Duplicate': {},
    },
  },
  async ({ parameters, requestId, now, refuse }, { catalogue, queue, sealer }: Needs) => {
    if (parameters.Engine.toLowerCase() !== 'postgresql') {
      throw refuse('InvalidEngine.Malformed', 'this version attaches PostgreSQL servers only')
    }
    const { DBInstanceId, MasterDBInstanceId, DBInstanceType = 'Primary' } = parameters
    if (DBInstanceId !== undefined && !ID.test(DBInstanceId)) {
      throw refuse('InvalidParameter', 'DBInstanceId: 3–63 of a–z, 0–9, -, beginning with a letter')
    }
    const description = parameters.DBInstanceDescription ?? ''
    if (description.length > 255)
      throw refuse('InvalidParameter', 'DBInstanceDescription: at most 255 characters')
    if ((DBInstanceType === 'Primary') !== (MasterDBInstanceId === undefined)) {
      throw refuse('InvalidParameter', 'MasterDBInstanceId: of Readonly and Guard instances only')
    }
    const servers = readServers(parameters)
    if ('problems' in servers) throw refuse('InvalidParameter', told(servers.problems))
    if (DBInstanceType !== 'Primary' && servers.length > 1) {
      throw refuse('InvalidParameter', `a ${DBInstanceType} instance is one server`)
    }
    const id = (DBInstanceId ?? newInstanceId()) as InstanceId
    await catalogue.transaction(async (tx) => {
      const master =
        MasterDBInstanceId === undefined ? null : await lockLiveInstance(tx, MasterDBInstanceId)
      if (MasterDBInstanceId !== undefined && master?.instance.type !== 'Primary') {
        throw refuse('InvalidDBInstanceName.NotFound', `no primary instance ${MasterDBInstanceId}`)
      }
      if (master && master.instance.status !== 'Running') {
        throw refuse(
          'IncorrectDBInstanceState',
          `${MasterDBInstanceId} is ${master.instance.status}`,
        )
      }
      const made = await insertInstance(tx, {
        id,
        engine: 'PostgreSQL',
        // Filled in when the server has said it.
        engineVersion: '',
        category: servers.length > 1 ? 'HighAvailability' : 'Basic',
        type: DBInstanceType,
        origin: 'attached',
        masterId: master?.instance.id ?? null,
        deletionProtection: parameters.DeletionProtection ?? false,
        releasedKeepPolicy: 'All',
        maxRateKib: parameters.MaxRate ?? null,
        description,
        createdAt: now,
        token: null,
      })
      if (!made) throw refuse('InvalidDBInstanceId.Duplicate', `${id} is, or was, another instance`)
      await recordServers(tx, id, servers, { ...parameters, sealer })
      await beginAttachTask(tx, id)
      const job = { kind: 'attach-instance', instanceId: id, parameters: {}, requestId } as const
      await queue.enqueue(tx, job, now)
    })
    return { DBInstanceId: id }
  },
)

interface Credentials {
  readonly SslRootCert?: string | undefined
  readonly SslCert?: string | undefined
  readonly SslKey?: string | undefined
  readonly sealer: Sealer
}

async function recordServers(
  tx: Transaction,
  instanceId: InstanceId,
  servers: readonly ServerToAttach[],
  { SslRootCert, SslCert, SslKey, sealer }: Credentials,
): Promise<void> {
  for (const [index, server] of servers.entries()) {
    await insertAttachedServer(tx, {
      instanceId,
      role: server.role,
      node: `${instanceId}-${index + 1}`,
      host: server.host,
      port: server.port,
      database: server.database,
      userName: server.user,
      passwordSealed: sealer.seal(new Secret(server.password)),
      tlsMode: server.tlsMode,
      rootCertificate: SslRootCert ?? null,
      clientCertificate: SslCert ?? null,
      clientKeySealed: SslKey === undefined ? null : sealer.seal(new Secret(SslKey)),
    })
  }
}

/** One line each; the command that waits for an attach prints them so. */
function told(problems: readonly ServerProblem[]): string {
  return problems
    .map(({ server, problem, advice }) => `${server}: ${problem}; ${advice}`)
    .join('\n')
}
