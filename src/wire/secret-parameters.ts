import { unreadableRequest } from './errors.ts'
import type { Operation } from './operation.ts'
import { parameterFacts, type RawParameters } from './parameters.ts'

/** Which parameters hold a secret. Names are compared in any case: a misspelt one leaks the same. */
export interface SecretParameters {
  /** Whether any operation declares it as a secret. */
  isDeclared(name: string): boolean
  /** Also what is named like one, and may be meant for an operation that there is not. */
  isLikely(name: string): boolean
}

const LIKELY = /password|secret|passphrase|privatekey/i
const HIDDEN = '***'

export function secretParameters(
  operations: Iterable<Pick<Operation<never>, 'description'>>,
): SecretParameters {
  const declared = new Set<string>()
  for (const { description } of operations) {
    for (const [name, field] of Object.entries(description.parameters.shape)) {
      if (parameterFacts(field)?.secret) declared.add(name.toLowerCase())
    }
  }
  const isDeclared = (name: string): boolean => declared.has(name.toLowerCase())
  return { isDeclared, isLikely: (name) => isDeclared(name) || LIKELY.test(name) }
}

/** Addresses are written into logs on the way, bodies are not. */
export function requireSecretsInBody(query: RawParameters, secrets: SecretParameters): void {
  for (const [name, value] of query) {
    if (value !== '' && secrets.isDeclared(name)) {
      throw unreadableRequest(name, 'It is a secret: send it in the form body of a POST request.')
    }
  }
}

/** The parameters as they may be shown to the client. */
export function hideSecrets(parameters: RawParameters, secrets: SecretParameters): RawParameters {
  return new Map(
    [...parameters].map(([name, value]) => [name, secrets.isLikely(name) ? HIDDEN : value]),
  )
}
