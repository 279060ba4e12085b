/** What the service begins by itself, and an operator may stop. */
export const PAUSABLE = ['backups', 'expiry'] as const
export type Pausable = (typeof PAUSABLE)[number]
