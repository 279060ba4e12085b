import { z } from 'zod'
import { attachedServersOf } from '../catalogue/attached-servers.ts'
import type { Transaction } from '../catalogue/database.ts'
import { findInstance } from '../catalogue/instances.ts'
import { localServersOf } from '../catalogue/local-servers.ts'
import { storedBytesOf } from '../catalogue/usage.ts'
import type { Instance } from '../domain/instance.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import { createdAt, InstanceFields, instanceFields } from './instance-fields.ts'
import type { OperationParts } from './parts.ts'

/** One instance, with its address and what its backups take. */
export const DescribeDBInstanceAttribute = defineOperation(
  {
    action: 'DescribeDBInstanceAttribute',
    summary: { en: 'Shows an instance.', zh: '查询实例详情。' },
    access: 'read',
    resource: 'instance',
    origin: 'vendor',
    parameters: z.object({ DBInstanceId: text('The instance.', '实例 ID。') }),
    response: z.object({
      Items: z.object({
        DBInstanceAttribute: z.array(
          z.object({
            ...InstanceFields,
            CreationTime: z.string(),
            ConnectionString: z.string(),
            Port: z.string(),
            DBClusterNodes: z.object({
              DBClusterNode: z.array(
                z.object({ NodeId: z.string(), NodeRole: z.string(), Status: z.string() }),
              ),
            }),
            /** Ours: bytes of all stored objects of the instance's sets; in parts: DescribeResourceUsage. */
            BackupStoredBytes: z.number(),
          }),
        ),
      }),
    }),
    errors: { 'InvalidDBInstanceId.NotFound': {} },
  },
  async (
    { parameters, refuse },
    { catalogue, region }: Pick<OperationParts, 'catalogue' | 'region'>,
  ) => {
    return catalogue.transaction(async (tx) => {
      const found = await findInstance(tx, parameters.DBInstanceId)
      if (!found) throw refuse('InvalidDBInstanceId.NotFound')
      const servers = await serversOf(tx, found.instance)
      const primary = servers.find((server) => server.role === 'primary')
      const attribute = {
        ...instanceFields(found, region),
        CreationTime: createdAt(found),
        ConnectionString: primary?.host ?? '',
        Port: primary ? String(primary.port) : '',
        DBClusterNodes: {
          DBClusterNode: servers.map((server) => ({
            NodeId: server.node,
            NodeRole: server.role,
            Status: found.instance.status,
          })),
        },
        BackupStoredBytes: await storedBytesOf(tx, found.instance.id),
      }
      return { Items: { DBInstanceAttribute: [attribute] } }
    })
  },
)

interface Server {
  readonly node: string
  readonly role: 'primary' | 'standby'
  readonly host: string
  readonly port: number
}

async function serversOf(tx: Transaction, { id, origin }: Instance): Promise<readonly Server[]> {
  if (origin === 'attached') return attachedServersOf(tx, id)
  return (await localServersOf(tx, id)).map((server) => ({ ...server, host: '127.0.0.1' }))
}
