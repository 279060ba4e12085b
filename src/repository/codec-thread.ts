import { parentPort } from 'node:worker_threads'
import { invariant } from '../base/fault.ts'
import { decodeBatch, encodeBatch } from './codec.ts'
import type { CodecBatch } from './codec-batch.ts'

export interface CodecRequest {
  readonly ticket: number
  readonly direction: 'encode' | 'decode'
  readonly batch: CodecBatch
  readonly key: Uint8Array
}

export interface CodecReply {
  readonly ticket: number
  readonly batch: CodecBatch
}

// This file is a thread's program. What throws here ends the thread, and the pool reports it.
invariant(parentPort, 'the codec runs in a thread of its own')
const port = parentPort
port.on('message', ({ ticket, direction, batch, key }: CodecRequest) => {
  const done = direction === 'encode' ? encodeBatch(batch, key) : decodeBatch(batch, key)
  const reply: CodecReply = { ticket, batch: done }
  port.postMessage(reply, [done.buffer])
})
