import { type Clock, type Instant, instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'

/** A service clock that stands still until it is moved, and never goes back. */
export class ManualClock implements Clock {
  #now: Instant

  constructor(start: Instant) {
    this.#now = start
  }

  now(): Instant {
    return this.#now
  }

  advance(ms: number): void {
    invariant(ms >= 0, 'service time does not go back')
    this.#now = instant(this.#now + ms)
  }
}
