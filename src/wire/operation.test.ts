import assert from 'node:assert/strict'
import { it } from 'node:test'
import { z } from 'zod'
import { instant } from '../base/clock.ts'
import { newRequestId } from '../base/ids.ts'
import { ERRORS } from './errors.ts'
import { defineOperation } from './operation.ts'
import { text } from './parameters.ts'

const description = {
  action: 'DeleteBackup',
  summary: { en: '', zh: '' },
  access: 'delete',
  resource: 'instance',
  origin: 'vendor',
} as const

const context = {
  raw: new Map<string, string>(),
  caller: { accessKeyId: 'a', user: 'root', address: '::1' },
  requestId: newRequestId(),
  now: instant(0),
}

it('gives a refusal the status and text that the operation declares, then the detail', async () => {
  const operation = defineOperation(
    {
      ...description,
      parameters: z.object({}),
      response: z.object({}),
      errors: { IncorrectDBInstanceLockMode: { status: 404 } },
    },
    async ({ refuse }) => {
      throw refuse('IncorrectDBInstanceLockMode', 'It is ManualLock.')
    },
  )
  assert.equal(ERRORS.IncorrectDBInstanceLockMode.status, 403)
  await assert.rejects(operation.answer(context, null), {
    code: 'IncorrectDBInstanceLockMode',
    status: 404,
    message: 'Current DB instance lock mode does not support this operation. (It is ManualLock.)',
  })
})

it('refuses to compile a code that the operation does not declare', () => {
  defineOperation(
    { ...description, parameters: z.object({}), response: z.object({}), errors: {} },
    async ({ refuse }) => {
      // @ts-expect-error: the operation declares no code.
      throw refuse('IncorrectDBInstanceLockMode')
    },
  )
})

it('never sends what the reply does not declare', async () => {
  const operation = defineOperation(
    {
      ...description,
      parameters: z.object({}),
      response: z.object({ Items: z.object({ Backup: z.array(z.object({ Id: z.string() })) }) }),
      errors: {},
    },
    async () => {
      const row = { Id: '7', secret: 'x' }
      return { Items: { Backup: [row] } }
    },
  )
  assert.deepEqual(await operation.answer(context, null), { Items: { Backup: [{ Id: '7' }] } })
})

it('refuses an operation whose parameter has a code that the operation does not declare', () => {
  const parameters = z.object({
    StartTime: text('', '', { error: 'InvalidStartTime.Format' }).optional(),
  })
  assert.throws(
    () =>
      defineOperation(
        { ...description, parameters, response: z.object({}), errors: {} },
        async () => ({}),
      ),
    /DeleteBackup declares the code of StartTime: InvalidStartTime.Format/,
  )
})
