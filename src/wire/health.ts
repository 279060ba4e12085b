import { describeError } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'

/** One thing that the service cannot do without; `check` rejects when it is not there. */
export interface Probe {
  readonly name: string
  check(signal: AbortSignal): Promise<unknown>
}

interface Health {
  readonly status: 'ok' | 'failing'
  /** By the probe's name; the reasons are for the log. */
  readonly checks: Readonly<Record<string, 'ok' | 'failing'>>
}

const PROBE_TIMEOUT_MS = 3000

/**
 * Runs all probes at once, each bounded, whether or not it heeds its signal. Calls that overlap
 * share one run, so that asking often costs no more than asking once.
 */
export function createHealthCheck(probes: readonly Probe[], log: Logger): () => Promise<Health> {
  let running: Promise<Health> | null = null
  return () => {
    running ??= runProbes(probes, log).finally(() => {
      running = null
    })
    return running
  }
}

async function runProbes(probes: readonly Probe[], log: Logger): Promise<Health> {
  const outcomes = await Promise.all(probes.map((probe) => succeeds(probe, log)))
  const checks = probes.map(
    ({ name }, index) => [name, outcomes[index] ? 'ok' : 'failing'] as const,
  )
  const status = outcomes.every((good) => good) ? 'ok' : 'failing'
  return { status, checks: Object.fromEntries(checks) }
}

async function succeeds(probe: Probe, log: Logger): Promise<boolean> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS)
  const late = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => late.reject(signal.reason), { once: true })
  try {
    await Promise.race([probe.check(signal), late.promise])
    return true
  } catch (error) {
    log.warn('probe failed', { probe: probe.name, error: describeError(error) })
    return false
  } finally {
    // A timeout that fires after the race has nobody left to tell.
    late.promise.catch(() => {})
  }
}
