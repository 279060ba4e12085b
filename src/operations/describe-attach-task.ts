import { z } from 'zod'
import { findAttachTask } from '../catalogue/attach-tasks.ts'
import { defineOperation } from '../wire/operation.ts'
import { text } from '../wire/parameters.ts'
import type { OperationParts } from './parts.ts'

const STATUS = { running: 'Running', finished: 'Succeed', refused: 'Failed' } as const

/** What came of AttachDBInstance: while the servers are looked at, and for a day afterwards. */
export const DescribeAttachTask = defineOperation(
  {
    action: 'DescribeAttachTask',
    summary: { en: 'Shows what came of attaching.', zh: '查询接入结果。' },
    access: 'read',
    resource: 'instance',
    origin: 'holdfast',
    parameters: z.object({ DBInstanceId: text('The instance.', '实例 ID。') }),
    response: z.object({
      DBInstanceId: z.string(),
      Status: z.string(),
      Problems: z.object({
        Problem: z.array(z.object({ Server: z.string(), Problem: z.string(), Advice: z.string() })),
      }),
    }),
    errors: { 'InvalidDBInstanceId.NotFound': {} },
  },
  async ({ parameters, refuse }, { catalogue }: Pick<OperationParts, 'catalogue'>) => {
    const task = await catalogue.transaction((tx) => findAttachTask(tx, parameters.DBInstanceId))
    if (!task) throw refuse('InvalidDBInstanceId.NotFound')
    const shown = task.problems.map(({ server, problem, advice }) => ({
      Server: server,
      Problem: problem,
      Advice: advice,
    }))
    return {
      DBInstanceId: parameters.DBInstanceId,
      Status: STATUS[task.state],
      Problems: { Problem: shown },
    }
  },
)
