import assert from 'node:assert/strict'
import type { CallReply } from '../wire/client.ts'
import type { Reply } from './service-process.ts'

/** The reply refuses with this status and code, in the vendor's shape; gives the message. */
export function refused(reply: CallReply, status: number, code: string): string {
  assert.equal(reply.status, status, reply.body)
  const body = reply.parsed as Reply
  assert.equal(body['Code'], code, reply.body)
  assert.match(String(body['RequestId']), /^[0-9A-F-]{36}$/)
  return String(body['Message'])
}
