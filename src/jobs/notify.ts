import { createHmac } from 'node:crypto'
import { isoMilliseconds, isoSeconds, machineNow, rest, SECOND_MS } from '../base/clock.ts'
import { describeError } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import type { Tally } from '../base/metrics.ts'
import type { Secret } from '../base/secret.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import {
  countFailedTry,
  type EventRecord,
  endPings,
  markNotified,
  newestPing,
  nextToNotify,
} from '../catalogue/events.ts'
import { summarise } from '../domain/event.ts'

/** Who is told of events, and what signs what is sent. */
export interface Receiver {
  readonly url: Secret<string>
  readonly secret: Secret<string> | null
}

interface Needs {
  readonly catalogue: Catalogue
  /** Counts tries by `result`: `sent`, `failed`, `given_up`. */
  readonly tries: Tally
}

/** Bumped when a field changes its meaning or goes; new fields come without. */
const SCHEMA = 1
const POLL_MS = SECOND_MS
const REQUEST_TIMEOUT_MS = 10 * SECOND_MS
const RETRY_FIRST_MS = SECOND_MS
const RETRY_MAX_MS = 300 * SECOND_MS
const PING_TRIES_MAX = 5

/**
 * The duty: tells the receiver of every event, in their order, each until a reply of 2xx. A failed
 * try is repeated after 1 s, 2 s … 5 min; an event that is a day old is given up. A process that dies
 * between the reply and its record sends the event again, with the same ID.
 */
export async function notify(
  receiver: Receiver,
  { catalogue, tries }: Needs,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0
  await forEachWaiting(catalogue, nextToNotify, signal, async (event) => {
    const problem = await send(event, receiver, signal)
    if (problem !== null && signal.aborted) return
    if (problem === null) {
      await catalogue.transaction((tx) => markNotified(tx, event.id))
      tries.add({ result: 'sent' })
      failures = 0
      return
    }
    const over = await catalogue.transaction((tx) => countFailedTry(tx, event.id))
    tries.add({ result: over ? 'given_up' : 'failed' })
    const told = { eventId: event.id, kind: event.kind, problem }
    if (over) log.error('event given up', told)
    // The log tells of the first failure, and of what came of it.
    else if (failures === 0) log.warn('event not told yet', told)
    await rest(Math.min(RETRY_FIRST_MS * 2 ** Math.min(failures, 20), RETRY_MAX_MS), signal)
    failures += 1
  })
}

/** The duty: asks the dead-man's URL after each successful backup; one request answers for several. */
export async function pingDeadMan(
  url: Secret<string>,
  { catalogue, tries }: Needs,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0
  await forEachWaiting(catalogue, newestPing, signal, async (id) => {
    const problem = await ask(url, { method: 'GET' }, signal)
    if (problem !== null && signal.aborted) return
    failures = problem === null ? 0 : failures + 1
    const over = failures === PING_TRIES_MAX
    tries.add({ result: problem === null ? 'sent' : over ? 'given_up' : 'failed' })
    if (problem === null) await catalogue.transaction((tx) => endPings(tx, id, 'told'))
    else if (over) {
      await catalogue.transaction((tx) => endPings(tx, id, 'given-up'))
      log.error('dead-man ping given up', { problem })
      failures = 0
    } else await rest(RETRY_FIRST_MS * 2 ** (failures - 1), signal)
  })
}

/** Handles what `next` finds, one after the other, and looks again a little later when it is null. */
async function forEachWaiting<T>(
  catalogue: Catalogue,
  next: (tx: Transaction) => Promise<T | null>,
  signal: AbortSignal,
  handle: (waiting: T) => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const waiting = await catalogue.transaction(next)
    if (waiting === null) await rest(POLL_MS, signal)
    else await handle(waiting)
  }
}

/** What is sent of an event: the same bytes at every try. */
export function renderEvent(event: EventRecord): string {
  const { id, kind, severity, instanceId, serviceTime, happenedAt, details } = event
  return JSON.stringify({
    schema: SCHEMA,
    id,
    kind,
    severity,
    instanceId,
    serviceTime: isoSeconds(serviceTime),
    time: isoMilliseconds(happenedAt),
    summary: summarise(kind, instanceId, details),
    details,
  })
}

/** Hex HMAC-SHA256 under the secret over the timestamp (seconds since the epoch), a dot, the body. */
export function signBody(secret: Secret<string>, timestamp: string, body: string): string {
  return createHmac('sha256', secret.reveal()).update(`${timestamp}.${body}`, 'utf8').digest('hex')
}

async function send(
  event: EventRecord,
  { url, secret }: Receiver,
  signal: AbortSignal,
): Promise<string | null> {
  const body = renderEvent(event)
  const timestamp = String(Math.floor(machineNow() / SECOND_MS))
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'holdfast-event-id': String(event.id),
    'holdfast-timestamp': timestamp,
  }
  if (secret) headers['holdfast-signature'] = `v1=${signBody(secret, timestamp, body)}`
  return ask(url, { method: 'POST', headers, body }, signal)
}

/** Null after a reply of 2xx, else what is wrong. Follows no redirect: it would carry events away. */
async function ask(
  url: Secret<string>,
  request: { method: string; headers?: Record<string, string>; body?: string },
  signal: AbortSignal,
): Promise<string | null> {
  const late = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  try {
    const headers = { 'user-agent': 'holdfast', ...request.headers }
    const options = { ...request, headers, redirect: 'manual' } as const
    const either = AbortSignal.any([signal, late])
    const reply = await fetch(url.reveal(), { ...options, signal: either })
    await reply.body?.cancel()
    return reply.ok ? null : `the reply was ${reply.status}`
  } catch (error) {
    return late.aborted ? `no reply within ${REQUEST_TIMEOUT_MS / 1000} s` : describeError(error)
  }
}
