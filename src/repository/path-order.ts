/**
 * The order of paths everywhere in the repository: that of their UTF-8 bytes. UTF-16 code units
 * order alike except that surrogates (U+10000 and above) come last, not before U+E000.
 */
export function comparePaths(left: string, right: string): number {
  const shorter = Math.min(left.length, right.length)
  for (let at = 0; at < shorter; at += 1) {
    const difference = rank(left.charCodeAt(at)) - rank(right.charCodeAt(at))
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}
