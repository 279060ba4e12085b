import { pause } from '../base/clock.ts'
import { Fault } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import type { Catalogue, Transaction } from '../catalogue/database.ts'
import { PIN_LEASE_MS, PIN_RENEW_MS, releasePins, renewPins } from '../catalogue/pins.ts'

/** Pins that are renewed until they are disposed of. */
export interface HeldPins extends AsyncDisposable {
  /** Whoever finds this name can tell whether its holder still lives. */
  readonly holder: string
  /** Aborts when the pins could not be renewed before they ran out: the bytes may go from then on. */
  readonly lost: AbortSignal
}

/** While the catalogue does not answer (it starts again, say), the next try comes this soon. */
const RETRY_MS = 2_000

/** Pins what `pin` chooses, in one transaction, and gives what it gave. */
export async function holdPins<T>(
  catalogue: Catalogue,
  pin: (tx: Transaction, holder: string) => Promise<T>,
): Promise<{ readonly value: T; readonly pins: HeldPins }> {
  const holder = randomName(16)
  const value = await catalogue.transaction((tx) => pin(tx, holder))
  const lost = new AbortController()
  const done = new AbortController()
  const renewing = renewUntilDone(catalogue, holder, lost, done.signal)
  const pins = {
    holder,
    lost: lost.signal,
    [Symbol.asyncDispose]: async () => {
      done.abort()
      await renewing
      await catalogue
        .transaction((tx) => releasePins(tx, holder))
        .catch(() => {
          // The service has stopped meanwhile, and the catalogue with it: the lease runs out.
        })
    },
  }
  return { value, pins }
}

async function renewUntilDone(
  catalogue: Catalogue,
  holder: string,
  lost: AbortController,
  done: AbortSignal,
): Promise<void> {
  let renewedAt = performance.now()
  let waitMs = PIN_RENEW_MS
  while (!done.aborted && performance.now() - renewedAt < PIN_LEASE_MS) {
    await pause(waitMs, done).catch(() => {
      // Done: the loop's condition ends it.
    })
    if (done.aborted) return
    try {
      const asked = performance.now()
      if ((await catalogue.transaction((tx) => renewPins(tx, holder))) === 0) break
      renewedAt = asked
      waitMs = PIN_RENEW_MS
    } catch {
      // Tried again until the lease is over.
      waitMs = RETRY_MS
    }
  }
  lost.abort(new Fault('transient', 'the set is no longer held: its pin ran out'))
}
