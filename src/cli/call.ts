import { readPairs, UsageError } from './arguments.ts'
import { openClient } from './client.ts'

/** Signs and sends any action and prints the reply as it came; exit code 1 for an error reply. */
export async function call(words: readonly string[], signal: AbortSignal): Promise<number> {
  const [action, ...rest] = words
  if (!action || action.startsWith('-')) throw new UsageError('call needs an action')
  const pairs = new Map(readPairs(rest))
  const endpoint = pairs.get('endpoint') ?? null
  pairs.delete('endpoint')
  const format = pairs.get('Format')?.toUpperCase() === 'XML' ? 'XML' : 'JSON'
  pairs.delete('Format')
  const client = await openClient(endpoint, signal)
  const reply = await client.call(action, Object.fromEntries(pairs), format)
  const pretty = format === 'JSON' && reply.parsed !== null
  process.stdout.write(`${pretty ? JSON.stringify(reply.parsed, null, 2) : reply.body}\n`)
  return reply.status < 400 ? 0 : 1
}
