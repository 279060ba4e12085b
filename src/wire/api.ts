import type { Clock } from '../base/clock.ts'
import { describeError, isFault } from '../base/fault.ts'
import { newRequestId, type RequestId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { type Incoming, readArrival } from './arrival.ts'
import {
  type AccessKeys,
  type Arrival,
  type Nonces,
  readClaim,
  verifyClaim,
} from './authentication.ts'
import { ApiError, apiError } from './errors.ts'
import { visibleFormat, visibleHost } from './first-sight.ts'
import type { Operation } from './operation.ts'
import { parameterFacts, type RawParameters } from './parameters.ts'
import { type Format, parseFormat, type Rendered, renderError, renderReply } from './rendering.ts'
import { requireSecretsInBody, type SecretParameters } from './secret-parameters.ts'

/** What answers calls, whatever carries them. */
export interface Api<Needs> {
  /** By action in lower case: clients differ in the case of some. */
  readonly operations: ReadonlyMap<string, Operation<Needs>>
  readonly needs: Needs
  readonly keys: AccessKeys
  readonly nonces: Nonces
  readonly clock: Clock
  /** Awaited before the service time of a call is read. */
  readonly beforeRequest: () => Promise<void>
  /** What a GET of `/` without a call shows; null: nothing, it counts as a bad call. */
  readonly information: (() => object) | null
  readonly secrets: SecretParameters
  readonly log: Logger
  /** Told of every answer: the operation's name or `unknown`, and the error's code or `OK`. */
  readonly answered: (action: string, code: string) => void
  /** Where the service is reached, when a request does not say. */
  readonly url: () => string
}

export interface Answer extends Rendered {
  readonly status: number
  readonly requestId: RequestId
}

/** What has been learned of a call so far, for its log line and the form of its error. */
interface Sighting {
  readonly requestId: RequestId
  readonly address: string
  readonly startedMs: number
  readonly scheme: 'http' | 'https'
  host: string | null
  action: string | null
  accessKeyId: string | null
  parameters: Readonly<Record<string, string>>
  format: Format
}

const LOGGED_CHARACTERS_MAX = 256

/** Answers one request to `/`. Never throws: what goes wrong is an error reply and a log line. */
export async function answerCall<Needs>(incoming: Incoming, api: Api<Needs>): Promise<Answer> {
  const seen = sight(incoming)
  try {
    const rendered = await answer(incoming, api, seen)
    noteCall(api, seen, 200, null)
    return { ...rendered, status: 200, requestId: seen.requestId }
  } catch (error) {
    return refused(error, api, seen)
  }
}

/** The error reply to a request that did not get as far as a call. */
export function answerError<Needs>(error: unknown, incoming: Incoming, api: Api<Needs>): Answer {
  return refused(error, api, sight(incoming))
}

async function answer<Needs>(
  incoming: Incoming,
  api: Api<Needs>,
  seen: Sighting,
): Promise<Rendered> {
  const arrival = readArrival(incoming)
  if (api.information !== null && asksNothing(arrival)) {
    await api.beforeRequest()
    const body = JSON.stringify(api.information())
    return { contentType: 'application/json;charset=utf-8', body }
  }
  seen.format = chooseFormat(arrival, seen.format)
  const claim = readClaim(arrival, api.secrets)
  seen.action = cut(claim.action)
  seen.accessKeyId = cut(claim.accessKeyId)
  // Before the signature is looked at: whoever sent it, the secret has been seen on the way.
  requireSecretsInBody(arrival.query, api.secrets)
  const user = await verifyClaim(claim, api.keys, api.nonces)
  const operation = api.operations.get(claim.action.toLowerCase())
  if (operation === undefined) throw apiError('InvalidAction.NotFound')
  seen.parameters = loggable(operation, claim.parameters)
  await api.beforeRequest()
  const context = {
    raw: claim.parameters,
    caller: { accessKeyId: claim.accessKeyId, user, address: incoming.address },
    requestId: seen.requestId,
    now: api.clock.now(),
  }
  const reply = await operation.answer(context, api.needs)
  return renderReply(seen.format, operation.description.action, seen.requestId, reply)
}

function sight(incoming: Incoming): Sighting {
  return {
    requestId: newRequestId(),
    address: incoming.address,
    startedMs: performance.now(),
    scheme: incoming.scheme,
    host: visibleHost(incoming),
    action: null,
    accessKeyId: null,
    parameters: {},
    format: visibleFormat(incoming),
  }
}

function refused<Needs>(error: unknown, api: Api<Needs>, seen: Sighting): Answer {
  const shown = publicError(error)
  const { requestId } = seen
  // An `ApiError` is an answer that was meant, and says all there is to say.
  if (shown.status >= 500 && !(error instanceof ApiError)) {
    const stack = error instanceof Error ? error.stack : undefined
    const detail = describeError(error)
    api.log.error('call failed', { requestId, action: seen.action, error: detail, stack })
  }
  noteCall(api, seen, shown.status, shown.code)
  const base = seen.host === null ? api.url() : `${seen.scheme}://${seen.host}`
  const query = `q=${encodeURIComponent(shown.code)}&product=Rds&requestId=${requestId}`
  const rendered = renderError(seen.format, shown, {
    requestId,
    hostId: seen.host ?? new URL(base).host,
    recommend: `${base}/troubleshoot?${query}`,
  })
  return { ...rendered, status: shown.status, requestId }
}

function publicError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  // The vendor's clients repeat a call that ends in this code.
  if (isFault(error, 'transient')) return apiError('ServiceUnavailable')
  if (isFault(error, 'no-space')) {
    return apiError('ServiceUnavailable', { detail: 'A disk of the service is full.' })
  }
  return apiError('InternalError')
}

function asksNothing({ method, headers, query }: Arrival): boolean {
  return method === 'GET' && query.size === 0 && ![...headers.keys()].some(belongsToCall)
}

function belongsToCall(header: string): boolean {
  return header === 'authorization' || header.startsWith('x-acs-')
}

/** What the parameters ask for, else what was visible at first sight. */
function chooseFormat({ query, form }: Arrival, visible: Format): Format {
  const asked = query.get('Format') || form.get('Format')
  if (!asked) return visible
  const format = parseFormat(asked)
  if (format === null) throw apiError('InvalidParameter.Format')
  return format
}

function loggable<Needs>(
  { description }: Operation<Needs>,
  raw: RawParameters,
): Readonly<Record<string, string>> {
  const shown: Record<string, string> = {}
  for (const [name, field] of Object.entries(description.parameters.shape)) {
    const value = raw.get(name)
    if (value !== undefined && parameterFacts(field)?.secret === false) shown[name] = cut(value)
  }
  return shown
}

function cut(value: string): string {
  return value.slice(0, LOGGED_CHARACTERS_MAX)
}

function noteCall<Needs>(
  api: Api<Needs>,
  seen: Sighting,
  status: number,
  code: string | null,
): void {
  // What a stranger makes up is no name to count by.
  const operation = api.operations.get(seen.action?.toLowerCase() ?? '')
  api.answered(operation?.description.action ?? 'unknown', code ?? 'OK')
  api.log.info('call', {
    action: seen.action,
    requestId: seen.requestId,
    accessKeyId: seen.accessKeyId,
    address: seen.address,
    parameters: seen.parameters,
    status,
    code,
    durationMs: Math.round(performance.now() - seen.startedMs),
  })
}
