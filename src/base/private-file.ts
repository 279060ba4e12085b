import type { Stats } from 'node:fs'

/**
 * Whether somebody else can read a file that holds a secret. As PostgreSQL has it for its server
 * key (page "Secure TCP/IP Connections with SSL"): nobody but the owner, and of a file of root the
 * group may read.
 */
export function isOpenToOthers(facts: Pick<Stats, 'mode' | 'uid'>): boolean {
  return (facts.mode & (facts.uid === 0 ? 0o037 : 0o077)) !== 0
}
