import { z } from 'zod'
import { isoSeconds } from '../base/clock.ts'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'

/** Fields that DescribeDBInstances and DescribeDBInstanceAttribute have in common. */
export const InstanceFields = {
  DBInstanceId: z.string(),
  DBInstanceDescription: z.string(),
  Engine: z.string(),
  EngineVersion: z.string(),
  Category: z.string(),
  DBInstanceStatus: z.string(),
  DBInstanceType: z.string(),
  LockMode: z.string(),
  PayType: z.string(),
  RegionId: z.string(),
  ZoneId: z.string(),
  InstanceNetworkType: z.string(),
  DBInstanceNetType: z.string(),
  ConnectionMode: z.string(),
  DeletionProtection: z.boolean(),
  /** Absent on a primary instance. */
  MasterInstanceId: z.string().optional(),
  ReadOnlyDBInstanceIds: z.object({
    ReadOnlyDBInstanceId: z.array(z.object({ DBInstanceId: z.string() })),
  }),
}

export function instanceFields({ instance }: InstanceWithPolicy, region: string) {
  return {
    DBInstanceId: instance.id,
    DBInstanceDescription: instance.description,
    Engine: instance.engine,
    EngineVersion: instance.engineVersion,
    Category: instance.category,
    DBInstanceStatus: instance.status,
    DBInstanceType: instance.type,
    LockMode: instance.lockMode,
    PayType: 'Postpaid',
    RegionId: region,
    ZoneId: `${region}-a`,
    InstanceNetworkType: 'Classic',
    DBInstanceNetType: 'Intranet',
    ConnectionMode: 'Standard',
    DeletionProtection: instance.deletionProtection,
    ...(instance.masterId === null ? {} : { MasterInstanceId: instance.masterId }),
    // Terraform reads the inner list without asking whether it is there.
    ReadOnlyDBInstanceIds: { ReadOnlyDBInstanceId: [] },
  }
}

export function createdAt({ instance }: InstanceWithPolicy): string {
  return isoSeconds(instance.createdAt)
}
