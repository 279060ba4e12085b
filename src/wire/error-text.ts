/** One sentence in the two languages of the documentation. */
export interface Text {
  readonly en: string
  readonly zh: string
}

/** What a code means. `message` is sent as it is: clients compare it with the vendor's. */
export interface WireError {
  readonly status: 400 | 403 | 404 | 500 | 503
  readonly message: string
  readonly cause: Text
  readonly fix: Text
}

/** A line of an error table: the message, then why it happens and what helps, English and Chinese. */
export function wireError(
  status: WireError['status'],
  message: string,
  cause: readonly [en: string, zh: string],
  fix: readonly [en: string, zh: string],
): WireError {
  return {
    status,
    message,
    cause: { en: cause[0], zh: cause[1] },
    fix: { en: fix[0], zh: fix[1] },
  }
}
