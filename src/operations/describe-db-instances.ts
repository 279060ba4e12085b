import { z } from 'zod'
import type { InstanceWithPolicy } from '../catalogue/instances.ts'
import { listInstances } from '../catalogue/instances.ts'
import { defineOperation } from '../wire/operation.ts'
import { text, wholeNumber } from '../wire/parameters.ts'
import { createdAt, InstanceFields, instanceFields } from './instance-fields.ts'
import type { OperationParts } from './parts.ts'

const FILTERS = [
  ['DBInstanceId', 'id'],
  ['DBInstanceStatus', 'status'],
  ['DBInstanceType', 'type'],
  ['Engine', 'engine'],
  ['EngineVersion', 'engineVersion'],
  ['Category', 'category'],
] as const

/** Lists instances, oldest first. There is one region, so RegionId is not compared. */
export const DescribeDBInstances = defineOperation(
  {
    action: 'DescribeDBInstances',
    summary: { en: 'Lists instances.', zh: '查询实例列表。' },
    access: 'read',
    resource: 'account',
    origin: 'vendor',
    parameters: z.object({
      RegionId: text('The region.', '地域 ID。').optional(),
      DBInstanceId: text('Only this instance.', '实例 ID。').optional(),
      DBInstanceStatus: text('Only instances in this state.', '实例状态。').optional(),
      DBInstanceType: text('Primary, Readonly or Guard.', '实例类型。').optional(),
      Engine: text('Only this engine.', '数据库类型。').optional(),
      EngineVersion: text('Only this version.', '数据库版本。').optional(),
      Category: text('Basic or HighAvailability.', '实例系列。').optional(),
      SearchKey: text('Part of an ID or a description.', 'ID 或描述的一部分。').optional(),
      PageNumber: wholeNumber('The page, from 1.', '页码。', {
        min: 1,
        max: 21474836,
      }).optional(),
      PageSize: wholeNumber('Instances on a page.', '每页记录数。', {
        min: 1,
        max: 100,
      }).optional(),
    }),
    response: z.object({
      Items: z.object({
        DBInstance: z.array(z.object({ ...InstanceFields, CreateTime: z.string() })),
      }),
      PageNumber: z.number(),
      PageRecordCount: z.number(),
      TotalRecordCount: z.number(),
    }),
    errors: {},
  },
  async ({ parameters }, { catalogue, region }: Pick<OperationParts, 'catalogue' | 'region'>) => {
    const all = await catalogue.transaction(listInstances)
    const wanted = all.filter((found) => matches(found, parameters))
    const page = parameters.PageNumber ?? 1
    const size = parameters.PageSize ?? 30
    const shown = wanted.slice((page - 1) * size, page * size)
    return {
      Items: {
        DBInstance: shown.map((found) => ({
          ...instanceFields(found, region),
          CreateTime: createdAt(found),
        })),
      },
      PageNumber: page,
      PageRecordCount: shown.length,
      TotalRecordCount: wanted.length,
    }
  },
)

function matches(
  { instance }: InstanceWithPolicy,
  parameters: Readonly<Record<string, unknown>>,
): boolean {
  for (const [name, field] of FILTERS) {
    const wanted = parameters[name]
    if (typeof wanted !== 'string') continue
    // The vendor's own answers differ in the case of categories.
    if (wanted.toLowerCase() !== instance[field].toLowerCase()) return false
  }
  const key = parameters['SearchKey']
  if (typeof key !== 'string') return true
  return instance.id.includes(key) || instance.description.includes(key)
}
