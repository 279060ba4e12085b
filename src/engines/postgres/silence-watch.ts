/** Calls are counted, not clock time: a machine that slept has not heard nothing for so long. */
const TICKS = 20

/** Notices that somebody owes us something and sends nothing. Disposing ends the watch. */
export interface SilenceWatch extends Disposable {
  /**
   * Waits for the next thing to come. Only this waiting counts as silence: while nobody waits, it is
   * our own side that is slow.
   */
  during<T>(next: () => Promise<T>): Promise<T>
}

/** Calls `onSilence` once one wait has lasted `limitMs`. It should end the wait. */
export function watchSilence(limitMs: number, onSilence: () => void): SilenceWatch {
  let waiting = false
  let ticks = 0
  const timer = setInterval(() => {
    if (!waiting) return
    ticks += 1
    if (ticks <= TICKS) return
    clearInterval(timer)
    onSilence()
  }, limitMs / TICKS)
  return {
    during: async (next) => {
      waiting = true
      ticks = 0
      try {
        return await next()
      } finally {
        waiting = false
      }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

/** `90 seconds`, `10 minutes`: for messages. */
export function formatLimit(limitMs: number): string {
  const seconds = Math.round(limitMs / 1000)
  return seconds < 120 ? `${seconds} seconds` : `${Math.round(seconds / 60)} minutes`
}
