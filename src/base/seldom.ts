/**
 * For what would be said over and over: gives null when it was said less than `everyMs` of real time
 * ago, else how many times it was passed over since.
 */
export function createSeldom(everyMs: number): () => number | null {
  let notBefore = Number.NEGATIVE_INFINITY
  let passedOver = 0
  return () => {
    const now = performance.now()
    if (now < notBefore) {
      passedOver += 1
      return null
    }
    notBefore = now + everyMs
    const before = passedOver
    passedOver = 0
    return before
  }
}
