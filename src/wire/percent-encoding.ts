const UNRESERVED = /[A-Za-z0-9\-._~]/

/** One entry for each byte, so that encoding is a look-up. */
const ENCODED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  if (UNRESERVED.test(character)) return character
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
})

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * RFC 3986 encoding of UTF-8 as both signatures define it: only `A–Z a–z 0–9 - _ . ~` stay, a space
 * is `%20`, `*` is `%2A`, hexadecimal digits are upper case.
 */
export function percentEncode(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text, 'utf8')) encoded += ENCODED[byte]
  return encoded
}

/**
 * Decodes one name or value of a query string or form body, given as its bytes in Latin-1; `+` is a
 * space there. Null when a `%` is not followed by two hexadecimal digits or the bytes are not UTF-8.
 */
export function percentDecode(latin1: string): string | null {
  const spaced = latin1.replaceAll('+', ' ')
  if (!/[%\u0080-\u00ff]/.test(spaced)) return spaced
  if (/%(?![0-9A-Fa-f]{2})/.test(spaced)) return null
  const bytes = spaced.replace(/%(..)/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  try {
    return STRICT_UTF8.decode(Buffer.from(bytes, 'latin1'))
  } catch {
    // The decoder's only complaint is about bytes that are not UTF-8: null says that.
    return null
  }
}
