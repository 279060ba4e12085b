import { unreadableRequest } from './errors.ts'
import type { RawParameters } from './parameters.ts'
import { percentDecode } from './percent-encoding.ts'

const PARAMETERS_MAX = 1000

/**
 * Reads a query string and a form body, both given as their bytes in Latin-1. A name occurs once in
 * both together, whatever its encoding: of two values the one that is signed and the one that is
 * acted on could differ.
 */
export function readRequestParameters(
  query: string,
  form: string,
): { readonly query: RawParameters; readonly form: RawParameters } {
  const seen = new Set<string>()
  return { query: readPairs(query, seen), form: readPairs(form, seen) }
}

function readPairs(encoded: string, seen: Set<string>): RawParameters {
  const pairs = new Map<string, string>()
  for (const piece of encoded.split('&')) {
    if (piece === '') continue
    const equals = piece.indexOf('=')
    const name = decode(equals < 0 ? piece : piece.slice(0, equals))
    const value = equals < 0 ? '' : decode(piece.slice(equals + 1), name)
    if (seen.has(name)) throw unreadableRequest(shown(name), 'It is given more than once.')
    if (seen.size === PARAMETERS_MAX) {
      throw unreadableRequest('list', `There are more than ${PARAMETERS_MAX} parameters.`)
    }
    seen.add(name)
    pairs.set(name, value)
  }
  return pairs
}

function decode(encoded: string, owner: string | null = null): string {
  const part = owner === null ? 'name' : shown(owner)
  const decoded = percentDecode(encoded)
  if (decoded === null) throw unreadableRequest(part, 'It is not percent-encoded UTF-8.')
  if (decoded.includes('\0')) throw unreadableRequest(part, 'It contains a zero byte.')
  return decoded
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 100)).slice(1, -1)
}
