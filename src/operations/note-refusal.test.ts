import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Logger } from '../base/logger.ts'
import type { Catalogue } from '../catalogue/database.ts'
import { SYSTEM } from '../domain/receipt.ts'
import { noteRefusal } from './note-refusal.ts'

test('a refusal stays a refusal when it cannot be recorded, and the log says so', async () => {
  const said: object[] = []
  const warn = (message: string, fields?: object) => void said.push({ message, ...fields })
  const log = { warn } as unknown as Logger
  const catalogue = {
    transaction: () => Promise.reject(new Error('the catalogue is full')),
  } as unknown as Catalogue
  const asked = { action: 'DeleteBackup', instanceId: 'pgm-a', requestId: 'R', actor: SYSTEM }
  const why = { code: 'c', rule: 'D11', detail: 'young' }
  assert.equal(await noteRefusal({ ...asked, ...why }, { catalogue, log }), false)
  const error = 'the catalogue is full'
  assert.deepEqual(said, [{ message: 'refusal not recorded', requestId: 'R', error }])
})
