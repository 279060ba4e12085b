import { z } from 'zod'
import { usageOfAll, usageOfRepository } from '../catalogue/usage.ts'
import { defineOperation } from '../wire/operation.ts'
import type { OperationParts } from './parts.ts'
import { UsageFields, usageFields } from './usage-fields.ts'

/** What all backups of this service take together, those of released instances included. */
export const DescribeRepositoryUsage = defineOperation(
  {
    action: 'DescribeRepositoryUsage',
    summary: { en: 'Shows what all backups take.', zh: '查询备份仓库空间使用信息。' },
    access: 'read',
    resource: 'account',
    origin: 'holdfast',
    parameters: z.object({}),
    response: z.object(UsageFields),
    errors: {},
  },
  async (_request, { catalogue }: Pick<OperationParts, 'catalogue'>) =>
    catalogue.transaction(async (tx) =>
      usageFields(await usageOfRepository(tx, await usageOfAll(tx))),
    ),
)
