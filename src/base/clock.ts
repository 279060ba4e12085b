import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds since the epoch, UTC, always whole. */
export type Instant = number & { readonly _unit: 'milliseconds since the epoch' }

/**
 * Service time: it stamps sets, ages them and drives schedules. The development clock moves it.
 * Never used for leases, retries or signature windows: those go by real time.
 */
export interface Clock {
  now(): Instant
}

export const SECOND_MS = 1000
export const MINUTE_MS = 60 * SECOND_MS
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** The machine's time: signature windows, and what the service clock adds its offset to. */
export function machineNow(): Instant {
  return Date.now() as Instant
}

export function instant(epochMs: number): Instant {
  return Math.trunc(epochMs) as Instant
}

/** Real elapsed time: retries, polling, timeouts. Cannot be moved. Rejects when `signal` aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {})
}

/** A pause that an abort only cuts short, for a loop whose condition looks at the signal. */
export async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, signal).catch(() => {
    // Aborted: the loop's condition ends it.
  })
}

/** Resolves when `work` has ended, whatever came of it, and after `ms` at the latest. */
export async function waitAtMost(work: Promise<unknown>, ms: number): Promise<void> {
  const done = new AbortController()
  const settled = work.then(
    () => done.abort(),
    () => done.abort(),
  )
  await Promise.race([settled, rest(ms, done.signal)])
}

/** `2026-11-24T07:05:40Z`: the vendor's seconds precision; milliseconds are cut, not rounded. */
export function isoSeconds(at: Instant): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`
}

/** `2026-11-24T07:05Z`, where the vendor has minutes. */
export function isoMinutes(at: Instant): string {
  return `${new Date(at).toISOString().slice(0, 16)}Z`
}

/** Text of an instant that somebody gave: with its fraction of a second if it has one. */
export function isoExact(at: Instant): string {
  return at % 1000 === 0 ? isoSeconds(at) : isoMilliseconds(at)
}

/** `2026-11-24T07:05:40.123Z`, for evidence, logs and our own operations. */
export function isoMilliseconds(at: Instant): string {
  return new Date(at).toISOString()
}

/**
 * Reads `yyyy-MM-ddTHH:mmZ` or `yyyy-MM-ddTHH:mm:ss[.SSS]Z`; null when it is neither or names a
 * moment that does not exist (February 30).
 */
export function parseIso(text: string): Instant | null {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2})(:\d{2})?(\.\d{1,3})?Z$/.exec(text)
  if (!match || (match[3] && !match[2])) return null
  const full = `${match[1]}${match[2] ?? ':00'}${(match[3] ?? '.000').padEnd(4, '0')}Z`
  const ms = Date.parse(full)
  return Number.isNaN(ms) || new Date(ms).toISOString() !== full ? null : (ms as Instant)
}
