import type { IncomingMessage, ServerResponse } from 'node:http'

/** Calls are smaller by far: a hundred names of sets are some kilobytes. */
const SMALL_BYTES_MAX = 64 * 1024
const LARGE_MAX = 32

/**
 * Keeps those who prove nothing from filling the memory: bodies are read before a signature can be
 * checked, so of those that are large, or do not say how large they are, only so many are read at
 * once. Gives false for one too many; a place is free again when its answer is sent or abandoned.
 */
export function largeBodyGate(): (request: IncomingMessage, response: ServerResponse) => boolean {
  let open = 0
  return ({ headers }, response) => {
    const declared = Number(headers['content-length'] ?? 0)
    if (headers['transfer-encoding'] === undefined && declared <= SMALL_BYTES_MAX) return true
    if (open >= LARGE_MAX) return false
    open += 1
    response.once('close', () => {
      open -= 1
    })
    return true
  }
}
